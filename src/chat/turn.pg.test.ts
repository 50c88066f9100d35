import { randomBytes } from 'node:crypto'
import { sql } from 'drizzle-orm'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { openTestDatabase, type TestDatabase } from '../../test/fixtures/database.ts'
import { openLoopbackEgress } from '../../test/fixtures/egress.ts'
import { openTestKeyring } from '../../test/fixtures/keyring.ts'
import { type Answer, openReceiver, type Receiver } from '../../test/fixtures/receiver.ts'
import { PLAIN_HOST } from '../../test/fixtures/tool-host.ts'
import { AppError } from '../core/error.ts'
import { MAX_EVENT_DATA_BYTES } from '../core/event.ts'
import { makeNewId } from '../core/id.ts'
import type { DbTx } from '../db/pool.ts'
import type { Egress } from '../egress/egress.ts'
import { fromDrizzle } from '../outbox/adapters.ts'
import { type EventInput, emit } from '../outbox/emit.ts'
import type { Keyring } from '../security/keyring.ts'
import { makeTools } from '../service/tools.ts'
import { makeLog } from '../telemetry/log.ts'
import { NO_METER } from '../telemetry/meter.ts'
import { makeConversations } from './conversations.ts'
import { demoModel } from './demo-model.ts'
import type { Model, ModelTurn } from './model.ts'
import { makeTurn, type TurnProgress } from './turn.ts'

let database: TestDatabase
let egress: Egress
let endpoint: Receiver
let answer: Answer
let orgId: string
let keyring: Keyring
let conversationId: string

const newId = makeNewId({ nowMs: Date.now, randomBytes })
const emitIn = (tx: DbTx, event: EventInput) => emit(fromDrizzle(tx, sql), event)
const json =
  (value: unknown): Answer =>
  (response) =>
    response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(value))

/** Answers once something else is done. */
const after =
  (work: () => Promise<unknown>): Answer =>
  (response, request) => {
    work().then(
      () => json({})(response, request),
      () => response.destroy(),
    )
  }

beforeAll(async () => {
  database = await openTestDatabase()
  keyring = await openTestKeyring(database.pool)
  await database.pool.query(
    `insert into patchbay.integration_providers (key, name, description, manifest)
     values ('generic-webhook', 'Webhook', '', '{}')`,
  )
  egress = openLoopbackEgress()
  endpoint = await openReceiver((response, request) => answer(response, request))
})
afterAll(async () => {
  await endpoint[Symbol.asyncDispose]()
  await egress[Symbol.asyncDispose]()
  await database[Symbol.asyncDispose]()
})

beforeEach(async () => {
  answer = json({ key: 'PB-1' })
  endpoint.requests.length = 0
  orgId = await database.addOrg()
  const { rows } = await database.pool.query(
    `insert into patchbay.org_integrations (org_id, provider_key, name)
     values ($1, 'generic-webhook', 'Jira') returning id`,
    [orgId],
  )
  await database.pool.query(
    `insert into patchbay.external_tool_definitions
       (org_id, integration_id, name, wire_name, description, args_schema, http_config)
     values ($1, $2, 'jira.createIssue', 'jira_createIssue', 'Creates.',
       '{"type":"object","properties":{"title":{"type":"string"}}}', $3)`,
    [orgId, rows[0].id, { method: 'POST', url: `${endpoint.url}/issues` }],
  )
  conversationId = (await makeConversations({ inOrg: database.inOrg }).create(orgId, 'ann', null))
    .id
})

interface Wiring {
  readonly model?: Model
  readonly emit?: typeof emitIn
  readonly org?: string
  readonly conversation?: string
  readonly onProgress?: (progress: TurnProgress) => void
}

/** A turn as the process wires it. */
function say(content: string, wiring: Wiring = {}) {
  const { inOrg } = database
  const conversations = makeConversations({ inOrg })
  const tools = makeTools({
    ...database,
    keyring,
    jobs: { carryOut: () => undefined },
    config: { PUBLIC_URL: undefined, APPROVAL_SECONDS: 60, TOOLS_PER_ORG: 100 },
    audit: () => Promise.resolve(),
    egress,
    newId,
    meter: NO_METER,
    loadHost: async () => PLAIN_HOST,
    urlJudge: async () => () => null,
    limited: (_, work) => work(),
    searchMessages: conversations.search,
    emit: wiring.emit ?? emitIn,
    whenStale: () => undefined,
    log: makeLog('silent'),
  })
  const turn = makeTurn({
    inOrg,
    model: wiring.model ?? demoModel,
    history: conversations.latest,
    listTools: (org) => tools.catalog.list(org, async () => true),
    invokeTool: (call) => tools.invoke.ask(call, async () => true),
    prepareWait: tools.approvals.prepareWait,
    emit: wiring.emit ?? emitIn,
    newId,
  })
  return turn({
    orgId: wiring.org ?? orgId,
    userId: 'ann',
    conversationId: wiring.conversation ?? conversationId,
    content,
    signal: new AbortController().signal,
    ...(wiring.onProgress === undefined ? {} : { onProgress: wiring.onProgress }),
  })
}

function modelThat(respond: (turn: ModelTurn) => Promise<string>): Model {
  return { name: 'test', respond: async (turn) => ({ content: await respond(turn) }) }
}

async function written() {
  const read = async (columns: string, table: string) =>
    (
      await database.pool.query(
        `select ${columns} from patchbay.${table} where org_id = $1 order by id`,
        [orgId],
      )
    ).rows
  return {
    messages: await read('id, role, content, user_id, model', 'messages'),
    runs: await read('id, tool, outcome, source, user_id, conversation_id', 'tool_runs'),
    events: await read('type, conversation_id, data', 'outbox_events'),
  }
}

const NOTHING = { messages: [], runs: [], events: [] }

/** Of this database, whoever holds them; the question itself left out. */
async function openTransactions(): Promise<unknown[]> {
  const { rows } = await database.pool.query(
    `select query from pg_stat_activity
     where datname = current_database() and backend_type = 'client backend'
       and pid <> pg_backend_pid() and xact_start is not null`,
  )
  return rows
}

describe('a turn', () => {
  test('commits messages, runs and events together', async () => {
    const done = await say('use jira.createIssue {"title":"Hi"}')
    const { userMessage, assistantMessage, toolRuns } = done
    expect(userMessage).toMatchObject({
      conversationId,
      role: 'user',
      content: 'use jira.createIssue {"title":"Hi"}',
    })
    expect(assistantMessage).toMatchObject({
      conversationId,
      role: 'assistant',
      content: 'Demo model: jira.createIssue returned {"key":"PB-1"}',
      model: 'demo',
    })
    expect(toolRuns).toEqual([
      {
        runId: expect.any(String),
        tool: 'jira.createIssue',
        outcome: 'success',
        durationMs: expect.any(Number),
        error: null,
      },
    ])
    const [run] = toolRuns
    expect(await written()).toMatchObject({
      messages: [
        { id: userMessage.id, role: 'user', user_id: 'ann', model: null },
        { id: assistantMessage.id, role: 'assistant', user_id: null, model: 'demo' },
      ],
      runs: [
        {
          id: run?.runId,
          tool: 'jira.createIssue',
          outcome: 'success',
          source: 'chat',
          user_id: 'ann',
          conversation_id: conversationId,
        },
      ],
      events: [
        { type: 'tool.exec.success', conversation_id: conversationId, data: { runId: run?.runId } },
        {
          type: 'chat.turn.completed',
          conversation_id: conversationId,
          data: {
            assistantMessageId: assistantMessage.id,
            userMessageId: userMessage.id,
            model: 'demo',
            toolRunIds: [run?.runId],
            content: { user: userMessage.content, assistant: assistantMessage.content },
          },
        },
      ],
    })
    expect(JSON.parse(endpoint.requests[0]?.body ?? '')).toEqual({
      orgId,
      userId: 'ann',
      conversationId,
      args: { title: 'Hi' },
    })
  })

  test('shows the model what was said before, oldest first, fifty messages at most', async () => {
    const seen: ModelTurn['messages'][] = []
    const model = modelThat(async ({ messages }) => {
      seen.push(messages)
      return `answer ${seen.length}`
    })
    for (let count = 1; count <= 27; count += 1) await say(`question ${count}`, { model })
    expect(seen[1]).toEqual([
      { role: 'user', content: 'question 1' },
      { role: 'assistant', content: 'answer 1' },
      { role: 'user', content: 'question 2' },
    ])
    expect(seen[26]).toHaveLength(51)
    expect(seen[26]?.[0]).toEqual({ role: 'user', content: 'question 2' })
  })

  test('holds no transaction while a tool runs or the model thinks', async () => {
    const open: unknown[][] = []
    answer = after(async () => open.push(await openTransactions()))
    const model = modelThat(async ({ runTool }) => {
      open.push(await openTransactions())
      await runTool('jira.createIssue', {})
      open.push(await openTransactions())
      return 'done'
    })
    const { toolRuns } = await say('Hi', { model })
    expect(toolRuns).toMatchObject([{ outcome: 'success' }])
    expect(open).toEqual([[], [], []])
  })

  test('reports what it does while it does it', async () => {
    const reported: TurnProgress[] = []
    const { assistantMessage, toolRuns } = await say('use clock_now {}', {
      onProgress: (progress) => reported.push(progress),
    })
    const [tool, ...deltas] = reported
    const runId = toolRuns[0]?.runId
    expect(tool).toEqual({ type: 'tool', runId, tool: 'clock.now', outcome: 'success' })
    const text = deltas.map((delta) => (delta.type === 'delta' ? delta.text : '?')).join('')
    expect(text).toBe(assistantMessage.content)
  })
})

/** A run is written down for itself, whatever becomes of its turn. */
const onlyRuns = (...outcomes: string[]) => ({
  messages: [],
  runs: outcomes.map((outcome) => expect.objectContaining({ outcome })),
  events: outcomes
    .filter((outcome) => outcome !== 'running')
    .map(() => expect.objectContaining({ type: 'tool.exec.success' })),
})

describe('a turn leaves no message', () => {
  test.each([
    ['tool.exec.success', 'running'],
    ['chat.turn.completed', 'success'],
  ])('when %s cannot be emitted', async (type, outcome) => {
    const broken = say('use jira.createIssue {}', {
      emit: async (tx, event) => {
        const id = await emitIn(tx, event)
        if (event.type === type) throw new Error('no outbox')
        return id
      },
    })
    await expect(broken).rejects.toThrow('no outbox')
    expect(endpoint.requests).toHaveLength(1)
    expect(await written()).toEqual(onlyRuns(outcome))
  })

  test('when the conversation is deleted while a tool runs', async () => {
    answer = after(() =>
      database.pool.query('delete from patchbay.conversations where id = $1', [conversationId]),
    )
    await expect(say('use jira.createIssue {}')).rejects.toMatchObject({
      code: 'NOT_FOUND',
      message: 'No such conversation.',
    })
    expect(endpoint.requests).toHaveLength(1)
    expect(await written()).toEqual(onlyRuns('success'))
  })

  test('when the model fails, after a tool, too', async () => {
    for (const failure of [new AppError('UNAVAILABLE', 'away'), new Error('away')]) {
      const model = modelThat(async ({ runTool }) => {
        await runTool('clock.now', {})
        throw failure
      })
      await expect(say('Hi', { model })).rejects.toMatchObject({ code: 'UNAVAILABLE' })
    }
    expect(await written()).toEqual(onlyRuns('success', 'success'))
  })

  test('and runs no tool, where the org has no such conversation', async () => {
    const other = await database.addOrg()
    const gone = { code: 'NOT_FOUND', message: 'No such conversation.' }
    const call = 'use jira.createIssue {}'
    await expect(say(call, { org: other })).rejects.toMatchObject(gone)
    await expect(say(call, { conversation: newId() })).rejects.toMatchObject(gone)
    expect(endpoint.requests).toEqual([])
    expect(await written()).toEqual(NOTHING)
  })

  test('when something of ours breaks in a tool, and the model does not hear of it', async () => {
    const heard: string[] = []
    const model = modelThat(async ({ runTool, signal }) => {
      await database.pool.query('alter table patchbay.external_tool_definitions rename to away')
      heard.push((await runTool('jira.createIssue', {})).content, String(signal.aborted))
      await database.pool.query('alter table patchbay.away rename to external_tool_definitions')
      return 'done'
    })
    await expect(say('Hi', { model })).rejects.toThrow(/does not exist/)
    expect(heard).toEqual(['broke', 'true'])
    expect(await written()).toEqual(NOTHING)
  })
})

describe('a tool that fails', () => {
  test('is told to the model and recorded with the turn', async () => {
    answer = (response) => response.writeHead(500).end('it broke')
    const { assistantMessage, toolRuns } = await say('use jira.createIssue {}')
    expect(assistantMessage.content).toBe('Demo model: jira.createIssue failed: HTTP 500: it broke')
    expect(toolRuns).toMatchObject([{ outcome: 'error', error: 'HTTP 500: it broke' }])
    expect(await written()).toMatchObject({
      messages: [{}, {}],
      runs: [{ outcome: 'error' }],
      events: [{ type: 'tool.exec.error' }, { type: 'chat.turn.completed' }],
    })
  })

  test.each([
    ['use jira.createIssues {}', 'No such tool: jira.createIssues. Did you mean jira.createIssue?'],
    ['use jira.createIssue {"title":1}', 'args.title must be string'],
  ])('because of the model’s slip in %j is no run', async (content, told) => {
    const { assistantMessage, toolRuns } = await say(content)
    expect(assistantMessage.content).toContain(told)
    expect(toolRuns).toEqual([])
    expect((await written()).runs).toEqual([])
  })

  test('is called sixteen times in a turn at most, also when all calls come at once', async () => {
    const answers: string[] = []
    const model = modelThat(async ({ runTool }) => {
      const calls = Array.from({ length: 20 }, () => runTool('jira.createIssue', {}))
      answers.push(...(await Promise.all(calls)).map(({ content }) => content))
      return 'done'
    })
    const { toolRuns } = await say('Hi', { model })
    expect(toolRuns).toHaveLength(16)
    expect(endpoint.requests).toHaveLength(16)
    expect(answers.filter((text) => text.startsWith('too many'))).toHaveLength(4)
  })
})

describe('what is very long', () => {
  test('is cut where it must be: the answer, and what the event can carry of it', async () => {
    const said = '\u0001'.repeat(32_000)
    const model = modelThat(async () => `${'ä"'.repeat(100_000)}\ud800\0`)
    const { userMessage, assistantMessage } = await say(said, { model })
    expect(userMessage.content).toBe(said)
    expect(assistantMessage.content).toMatch(/^ä".*\n\[cut: 200002 characters in all\]$/)
    expect(assistantMessage.content.length).toBeLessThan(100_100)
    const { rows } = await database.pool.query(
      `select octet_length(data::text) as bytes, data->'content'->>'assistant' as assistant
       from patchbay.outbox_events where org_id = $1`,
      [orgId],
    )
    expect(rows[0].bytes).toBeLessThanOrEqual(MAX_EVENT_DATA_BYTES)
    expect(rows[0].assistant).toMatch(/^ä".*… \[cut: \d+ characters in all\]$/)
  })
})
