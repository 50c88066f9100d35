import { randomBytes } from 'node:crypto'
import { sql } from 'drizzle-orm'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { actor } from '../../test/fixtures/actor.ts'
import { openTestDatabase, type TestDatabase } from '../../test/fixtures/database.ts'
import { makeNewId } from '../core/id.ts'
import { fromDrizzle } from '../outbox/adapters.ts'
import { emit } from '../outbox/emit.ts'
import type { FinishedRun } from './invoke.ts'
import { makeRuns, type RunEvent } from './runs.ts'

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
    ...run,
  }
}

function runsOf(run: FinishedRun, emitRun?: () => Promise<string>) {
  return makeRuns({
    inOrg: database.inOrg,
    audit: () => Promise.resolve(),
    invoke: async () => run,
    emit: emitRun ?? ((tx, event: RunEvent) => emit(fromDrizzle(tx, sql), event)),
  })
}

const CALL = {
  orgId: 'x',
  userId: 'ann',
  conversationId: null,
  source: 'api' as const,
  name: 'x',
  args: {},
}

const execute = (run: FinishedRun) => runsOf(run).execute(CALL, actor())

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
    expect(await execute(run)).toEqual({ runId: run.id, result: { key: 'PB-1' } })
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
    await expect(execute(run)).rejects.toMatchObject({
      code,
      message: 'jira.createIssue: HTTP 500',
      members: { runId: run.id },
    })
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
    const broken = runsOf(runOf(), () => Promise.reject(new Error('no outbox')))
    await expect(broken.execute(CALL, actor())).rejects.toThrow('no outbox')
    expect(await written()).toEqual({ runs: [], events: [] })
  })

  test('that goes back with its transaction leaves no event', async () => {
    const { record } = runsOf(runOf())
    const rolledBack = database.db.transaction(async (tx) => {
      await record(tx, runOf())
      throw new Error('never mind')
    })
    await expect(rolledBack).rejects.toThrow('never mind')
    expect(await written()).toEqual({ runs: [], events: [] })
    const pending = await database.pool.query(
      'select 1 from patchbay.outbox_pending where org_id = $1',
      [orgId],
    )
    expect(pending.rows).toEqual([])
  })
})

describe('what is kept of a run', () => {
  test('is at most 16 KiB of arguments and of result, and says what is missing', async () => {
    const long = 'ä"'.repeat(20_000)
    await execute(runOf({ arguments: { long }, result: { long } }))
    const { rows } = await database.pool.query(
      `select octet_length(arguments::text) as arguments, octet_length(result) as result,
         arguments->>'cut' as cut, result as text
       from patchbay.tool_runs where org_id = $1`,
      [orgId],
    )
    expect(rows[0].arguments).toBeLessThanOrEqual(16_384)
    expect(rows[0].result).toBeLessThanOrEqual(16_384)
    expect(rows[0].cut).toMatch(/^\{"long":"ä.*… \[cut: 80011 bytes in all\]$/)
    expect(rows[0].text).toMatch(/^\{"long":"ä.*… \[cut: 80011 bytes in all\]$/)
    expect(rows[0].text).not.toContain('\ufffd')
  })

  test('is what the database can hold', async () => {
    const odd = 'a\0b\ud800'
    await execute(runOf({ arguments: { odd }, result: odd, outcome: 'success' }))
    await execute(runOf({ outcome: 'error', result: null, error: odd })).catch(() => undefined)
    const { runs } = await written()
    expect(runs).toHaveLength(2)
    expect(runs[1]?.error).toBe('a\ufffdb\ufffd')
  })
})
