import { randomBytes } from 'node:crypto'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { openTestDatabase, type TestDatabase } from '../../test/fixtures/database.ts'
import { encodeCursor, type Page } from '../core/cursor.ts'
import { makeNewId } from '../core/id.ts'
import { toolRuns } from '../db/tool-tables.ts'
import { CUT_MARK } from './call-result.ts'
import { makeRunHistory, type RunFilter } from './run-history.ts'

let database: TestDatabase
let history: ReturnType<typeof makeRunHistory>
let orgId: string
let nowMs = Date.UTC(2026, 0, 31, 12)
const newId = makeNewId({ nowMs: () => nowMs, randomBytes })

beforeAll(async () => {
  database = await openTestDatabase()
  history = makeRunHistory({
    readInOrg: database.readInOrg,
    nameOf: async (_, wanted) => (wanted === 'jira_createIssue' ? 'jira.createIssue' : null),
  })
})
afterAll(() => database[Symbol.asyncDispose]())
beforeEach(async () => {
  orgId = await database.addOrg()
})

type Row = typeof toolRuns.$inferInsert

async function add(row: Partial<Row> = {}): Promise<string> {
  const id = row.id ?? newId()
  const { db } = database
  await db.insert(toolRuns).values({
    id,
    orgId,
    tool: 'jira.createIssue',
    userId: 'ann',
    source: 'api',
    outcome: 'success',
    durationMs: 12,
    arguments: {},
    ...row,
  })
  return id
}

const NO_FILTER: RunFilter = {
  tool: null,
  outcome: null,
  conversationId: null,
  source: null,
  since: null,
  until: null,
}

const FIRST: Page = { limit: 50, after: null }
const list = (filter: Partial<RunFilter> = {}, page = FIRST) =>
  history.list(orgId, { ...NO_FILTER, ...filter }, page)
const idsOf = async (filter: Partial<RunFilter>) =>
  (await list(filter)).toolRuns.map(({ id }) => id)

describe('a list of runs', () => {
  test('is of this org, newest first', async () => {
    const first = await add()
    const second = await add()
    await add({ orgId: await database.addOrg() })
    expect(await idsOf({})).toEqual([second, first])
  })

  test('comes in pages in which no run is twice and none is missed, whatever is added meanwhile', async () => {
    const ids = [await add(), await add(), await add(), await add(), await add()]
    const first = await list({}, { limit: 2, after: null })
    await add()
    const below = (id: string | undefined) => list({}, { limit: 2, after: id ?? null })
    const second = await below(first.toolRuns.at(-1)?.id)
    const third = await below(second.toolRuns.at(-1)?.id)
    const walked = [first, second, third].flatMap(({ toolRuns }) => toolRuns)
    expect(walked.map(({ id }) => id)).toEqual(ids.toReversed())
    expect(first.nextCursor).toBe(encodeCursor(ids[3] ?? ''))
    expect(third.nextCursor).toBeNull()
  })

  test('is of what each filter asks for, and of all filters together', async () => {
    const issue = await add({ conversationId: 'c1', source: 'chat' })
    const search = await add({ tool: 'jira.search', source: 'slack' })
    const failed = await add({ conversationId: 'c1', outcome: 'error', error: 'HTTP 500' })
    expect(await idsOf({ tool: 'jira.search' })).toEqual([search])
    expect(await idsOf({ tool: 'jira.createIssue' })).toEqual([failed, issue])
    expect(await idsOf({ source: 'slack' })).toEqual([search])
    expect(await idsOf({ conversationId: 'c1' })).toEqual([failed, issue])
    expect(await idsOf({ outcome: 'error' })).toEqual([failed])
    expect(await idsOf({ outcome: 'unknown' })).toEqual([])
    expect(await idsOf({ conversationId: 'c1', outcome: 'success' })).toEqual([issue])
  })

  test('knows a tool that the org has by its wire name too, and one that is gone by the name it had', async () => {
    const issue = await add()
    const gone = await add({ tool: 'old_tool' })
    expect(await idsOf({ tool: 'jira_createIssue' })).toEqual([issue])
    expect(await idsOf({ tool: 'old_tool' })).toEqual([gone])
    expect(await idsOf({ tool: 'never.was' })).toEqual([])
  })

  test('of a window has what began at its beginning, and not what began at its end', async () => {
    const times = [0, 1000, 2000].map((ms) => new Date(nowMs + 10_000 + ms))
    const [since, middle, until] = times
    const ids: string[] = []
    for (const at of times) {
      nowMs = at.getTime()
      ids.push(await add())
    }
    expect(await idsOf({ since: since ?? null, until: until ?? null })).toEqual([ids[1], ids[0]])
    expect(await idsOf({ since: middle ?? null })).toEqual([ids[2], ids[1]])
    expect(await idsOf({ until: middle ?? null })).toEqual([ids[0]])
    const longAgo = new Date('1960-01-01T00:00:00Z')
    expect(await idsOf({ since: longAgo })).toHaveLength(3)
    expect(await idsOf({ until: longAgo })).toEqual([])
  })

  test('shows who ran what, where, and how it ended', async () => {
    const [toolId, integrationId, approvalId] = [newId(), newId(), newId()]
    const finishedAt = new Date(nowMs + 40)
    const id = await add({
      ...{ toolId, integrationId, approvalId, finishedAt },
      host: 'jira.example.com',
      conversationId: 'c1',
      outcome: 'timeout',
      error: 'no answer within 10 s',
      durationMs: 37,
      attempts: 2,
      arguments: { title: 'Hi' },
      result: '1',
    })
    expect((await list()).toolRuns).toEqual([
      {
        ...{ id, toolId, integrationId, approvalId },
        tool: 'jira.createIssue',
        host: 'jira.example.com',
        source: 'api',
        userId: 'ann',
        conversationId: 'c1',
        outcome: 'timeout',
        error: 'no answer within 10 s',
        durationMs: 37,
        attempts: 2,
        startedAt: new Date(nowMs).toISOString(),
        finishedAt: finishedAt.toISOString(),
      },
    ])
  })
})

describe('one run', () => {
  test('has what went in and came out', async () => {
    const id = await add({ arguments: { title: 'Hi' }, result: '{"key":"PB-1"}' })
    expect(await history.get(orgId, id)).toMatchObject({
      id,
      arguments: { title: 'Hi' },
      result: { key: 'PB-1' },
      resultIsCut: false,
    })
  })

  test('whose result was cut has what was kept of its text, and says so', async () => {
    const text = '{"long":"ä… [cut: 80011 bytes in all]'
    const id = await add({ result: text })
    expect(await history.get(orgId, id)).toMatchObject({ result: text, resultIsCut: true })
  })

  test('of which not all was read says so, too', async () => {
    const id = await add({ result: JSON.stringify(`[1,2${CUT_MARK}`) })
    expect(await history.get(orgId, id)).toMatchObject({ resultIsCut: true })
  })

  test('that gave nothing, or nothing yet, has no result', async () => {
    const id = await add({ outcome: 'running', durationMs: null, dueAt: new Date() })
    expect(await history.get(orgId, id)).toMatchObject({
      outcome: 'running',
      result: null,
      resultIsCut: false,
      durationMs: null,
      finishedAt: null,
    })
  })

  test('of before its end was written down ended when it had taken its time', async () => {
    const id = await add({ finishedAt: null, durationMs: 1500 })
    const ended = new Date(nowMs + 1500).toISOString()
    expect(await history.get(orgId, id)).toMatchObject({ finishedAt: ended })
  })

  test('of another org is not found', async () => {
    const id = await add({ orgId: await database.addOrg() })
    await expect(history.get(orgId, id)).rejects.toMatchObject({ code: 'NOT_FOUND' })
    await expect(history.get(orgId, newId())).rejects.toMatchObject({ code: 'NOT_FOUND' })
  })
})
