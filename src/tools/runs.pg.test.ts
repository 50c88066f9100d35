import { randomBytes } from 'node:crypto'
import { sql } from 'drizzle-orm'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { actor } from '../../test/fixtures/actor.ts'
import { openTestDatabase, type TestDatabase } from '../../test/fixtures/database.ts'
import { makeNewId } from '../core/id.ts'
import { fromDrizzle } from '../outbox/adapters.ts'
import { emit } from '../outbox/emit.ts'
import {
  type FinishedRun,
  makeRuns,
  type RunEvent,
  RunTakenError,
  resultOf,
  sweepRuns,
} from './runs.ts'

let database: TestDatabase
let orgId: string
const newId = makeNewId({ nowMs: Date.now, randomBytes })

beforeAll(async () => {
  database = await openTestDatabase()
})
afterAll(() => database[Symbol.asyncDispose]())
beforeEach(async () => {
  orgId = await database.addOrg()
})

function runOf(run: Partial<FinishedRun> = {}): FinishedRun {
  return {
    id: newId(),
    orgId,
    userId: 'ann',
    conversationId: 'c1',
    source: 'api',
    tool: 'jira.createIssue',
    toolId: newId(),
    integrationId: newId(),
    host: 'jira.example.com',
    arguments: { title: 'Hi' },
    outcome: 'success',
    result: { key: 'PB-1' },
    error: null,
    durationMs: 12,
    attempts: 1,
    approvalId: null,
    ...run,
  }
}

const runsThat = (emitRun?: () => Promise<string>) =>
  makeRuns({
    ...database,
    audit: () => Promise.resolve(),
    emit: emitRun ?? ((tx, event: RunEvent) => emit(fromDrizzle(tx, sql), event)),
  })

const begin = ({
  outcome: _,
  result: __,
  error: ___,
  durationMs: ____,
  attempts: _____,
  ...run
}: FinishedRun) => runsThat().begin({ ...run, mayTakeS: 60 })
const end = (run: FinishedRun) => runsThat().end(run, actor())

async function written() {
  const runs = await database.pool.query(
    'select * from patchbay.tool_runs where org_id = $1 order by id',
    [orgId],
  )
  const events = await database.pool.query(
    'select type, data, conversation_id from patchbay.outbox_events where org_id = $1 order by id',
    [orgId],
  )
  return { runs: runs.rows, events: events.rows }
}

describe('a run', () => {
  test('that succeeds gives its result, and is recorded with its event', async () => {
    const run = runOf()
    await end(run)
    expect(resultOf(run)).toEqual({ runId: run.id, result: { key: 'PB-1' } })
    expect(await written()).toEqual({
      runs: [
        {
          id: run.id,
          org_id: orgId,
          tool: 'jira.createIssue',
          tool_id: run.toolId,
          integration_id: run.integrationId,
          host: run.host,
          conversation_id: 'c1',
          user_id: 'ann',
          source: 'api',
          outcome: 'success',
          duration_ms: 12,
          arguments: { title: 'Hi' },
          result: '{"key":"PB-1"}',
          error: null,
          due_at: null,
          finished_at: expect.any(Date),
          attempts: 1,
          approval_id: null,
        },
      ],
      events: [
        {
          type: 'tool.exec.success',
          conversation_id: 'c1',
          data: { tool: 'jira.createIssue', runId: run.id, durationMs: 12 },
        },
      ],
    })
  })

  test.each([
    ['error', 'TOOL_FAILED'],
    ['blocked', 'TOOL_FAILED'],
    ['timeout', 'TOOL_TIMEOUT'],
  ] as const)('that ends as %s is recorded, and then thrown as %s', async (outcome, code) => {
    const run = runOf({ outcome, result: null, error: 'HTTP 500', conversationId: null })
    await end(run)
    expect(() => resultOf(run)).toThrow(
      expect.objectContaining({
        code,
        message: 'jira.createIssue: HTTP 500',
        members: { runId: run.id },
      }),
    )
    const { runs, events } = await written()
    expect(runs).toMatchObject([{ outcome, result: null, error: 'HTTP 500' }])
    expect(events).toEqual([
      {
        type: 'tool.exec.error',
        conversation_id: null,
        data: { tool: 'jira.createIssue', runId: run.id, error: 'HTTP 500' },
      },
    ])
  })

  test('is not recorded without its event', async () => {
    const broken = runsThat(() => Promise.reject(new Error('no outbox')))
    await expect(broken.end(runOf(), undefined)).rejects.toThrow('no outbox')
    expect(await written()).toEqual({ runs: [], events: [] })
  })

  test('is there before its call leaves, and begun once', async () => {
    const run = runOf()
    await begin(run)
    const { runs, events } = await written()
    expect(runs).toMatchObject([
      { id: run.id, outcome: 'running', duration_ms: null, due_at: expect.any(Date), result: null },
    ])
    expect(events).toEqual([])
    await expect(begin(run)).rejects.toThrow(RunTakenError)
    await end(run)
    expect((await written()).runs).toMatchObject([{ outcome: 'success', due_at: null }])
    await expect(begin(run)).rejects.toThrow(RunTakenError)
  })

  test('that nobody ended in time is unknown, with its event; who comes late still says how it ended', async () => {
    const run = runOf()
    await begin(run)
    expect(await sweepRuns(database.pool)).toBe(0)
    const later = new Date(Date.now() + 61_000)
    expect(await sweepRuns(database.pool, later)).toBe(1)
    expect(await sweepRuns(database.pool, later)).toBe(0)
    const swept = await written()
    expect(swept.runs).toMatchObject([{ outcome: 'unknown', due_at: null }])
    expect(swept.events).toMatchObject([
      {
        type: 'tool.exec.error',
        data: { runId: run.id, error: expect.stringContaining('unknown') },
      },
    ])
    await end(run)
    expect((await written()).runs).toMatchObject([{ outcome: 'success', error: null }])
  })

  test('of an org that was deleted meanwhile is not written down, and says why', async () => {
    const run = runOf()
    await begin(run)
    await database.pool.query('delete from patchbay.orgs where id = $1', [orgId])
    await expect(end(run)).rejects.toMatchObject({ code: 'NOT_FOUND' })
  })

  test('that was begun while its org was deleted is swept away, and holds up no other', async () => {
    const gone = runOf()
    await begin(gone)
    await database.pool.query('delete from patchbay.orgs where id = $1', [orgId])
    const deleted = orgId
    orgId = await database.addOrg()
    await begin(runOf())
    expect(await sweepRuns(database.pool, new Date(Date.now() + 61_000))).toBe(1)
    expect((await written()).runs).toMatchObject([{ outcome: 'unknown' }])
    orgId = deleted
    expect(await written()).toEqual({ runs: [], events: [] })
  })

  test('that has ended stays as it ended', async () => {
    const run = runOf()
    await end(run)
    await end({ ...run, outcome: 'error', result: null, error: 'too late' })
    expect((await written()).runs).toMatchObject([{ outcome: 'success', error: null }])
  })
})

describe('what is kept of a run', () => {
  test('is at most 16 KiB of arguments and 512 KiB of result, and says what is missing', async () => {
    const long = 'ä"'.repeat(20_000)
    const longer = long.repeat(10)
    await end(runOf({ arguments: { long }, result: { longer } }))
    const { rows } = await database.pool.query(
      `select octet_length(arguments::text) as arguments, octet_length(result) as result,
         arguments->>'cut' as cut, result as text
       from patchbay.tool_runs where org_id = $1`,
      [orgId],
    )
    expect(rows[0].arguments).toBeLessThanOrEqual(16_384)
    expect(rows[0].result).toBeLessThanOrEqual(524_288)
    expect(rows[0].result).toBeGreaterThan(520_000)
    expect(rows[0].cut).toMatch(/^\{"long":"ä.*… \[cut: 80011 bytes in all\]$/)
    expect(rows[0].text).toMatch(/^\{"longer":"ä.*… \[cut: 800013 bytes in all\]$/)
    expect(rows[0].text).not.toContain('\ufffd')
  })

  test('is what the database can hold', async () => {
    const odd = 'a\0b\ud800'
    await end(runOf({ arguments: { odd }, result: odd, outcome: 'success' }))
    await end(runOf({ outcome: 'error', result: null, error: odd }))
    const { runs } = await written()
    expect(runs).toHaveLength(2)
    expect(runs[1]?.error).toBe('a\ufffdb\ufffd')
  })
})
