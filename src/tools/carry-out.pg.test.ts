import { randomBytes, randomUUID } from 'node:crypto'
import { sql } from 'drizzle-orm'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { actor } from '../../test/fixtures/actor.ts'
import { openTestDatabase, type TestDatabase } from '../../test/fixtures/database.ts'
import { openTestKeyring } from '../../test/fixtures/keyring.ts'
import { AppError } from '../core/error.ts'
import { makeNewId } from '../core/id.ts'
import type { DbTx } from '../db/pool.ts'
import { fromDrizzle } from '../outbox/adapters.ts'
import { type EventInput, emit } from '../outbox/emit.ts'
import type { Keyring } from '../security/keyring.ts'
import { makeLog } from '../telemetry/log.ts'
import { expireApprovals } from './approval-queries.ts'
import { makeApprovals } from './approvals.ts'
import { type Decided, makeCarryOut } from './carry-out.ts'
import { type ExternalTool, type HeldCall, makeInvoke, type RunAnswer } from './invoke.ts'
import { type FinishedRun, makeRuns } from './runs.ts'

const newId = makeNewId({ nowMs: Date.now, randomBytes })
const emitIn = (tx: DbTx, event: EventInput) => emit(fromDrizzle(tx, sql), event)
const audit = () => Promise.resolve()
const log = makeLog('silent')

let database: TestDatabase
let keyring: Keyring
let orgId: string
let waits: number[]
let wentOn: { turn: unknown; decided: Decided; isLastTry: boolean }[]

beforeAll(async () => {
  database = await openTestDatabase()
  keyring = await openTestKeyring(database.pool)
})
afterAll(() => database[Symbol.asyncDispose]())
beforeEach(async () => {
  orgId = await database.addOrg()
  wentOn = []
  waits = []
})

const tool: ExternalTool = {
  kind: 'external',
  id: newId(),
  name: 'jira.createIssue',
  description: 'Makes an issue',
  argsSchema: { type: 'object' },
  outputSchema: null,
  integrationId: newId(),
  httpConfig: { method: 'POST', url: 'https://example.com/' },
  sourceKey: null,
  config: {},
  approval: 'ask',
  rateLimit: null,
}

const runs = () => makeRuns({ ...database, emit: emitIn, audit })

const approvals = () =>
  makeApprovals({
    inOrg: database.inOrg,
    keyring,
    emit: emitIn,
    audit,
    findRun: runs().find,
    newId,
    expiresInS: 60,
    carryOut: () => undefined,
  })

async function ran(call: HeldCall): Promise<FinishedRun> {
  const { runId: id, userId, conversationId, source, tool, toolId, integrationId, args } = call
  const who = { id, orgId, userId, conversationId, source, tool, toolId, integrationId }
  const run = { ...who, host: null, approvalId: call.approvalId, arguments: args }
  await runs().begin({ ...run, mayTakeS: 60 })
  const ended = { ...run, outcome: 'success', result: { issue: 1 }, error: null } as const
  await runs().end({ ...ended, durationMs: 1, attempts: 1 }, undefined)
  return { ...ended, durationMs: 1, attempts: 1 }
}

const { giveUpHeld } = makeInvoke({
  find: async () => null,
  findById: async () => tool,
  names: async () => [],
  validate: () => [],
  call: () => Promise.reject(new Error('not called here')),
  hold: () => Promise.reject(new Error('not held here')),
  runs: { begin: (run) => runs().begin(run), end: (run, by) => runs().end(run, by) },
  limited: (_, work) => work(),
  newId,
})

const carryOut = (runHeld: (call: HeldCall) => Promise<FinishedRun | null> = ran) =>
  makeCarryOut({
    db: database.pool,
    keyring,
    newToken: randomUUID,
    runHeld,
    giveUpHeld,
    findRun: runs().find,
    goOn: async (org, turn, decided, markDone, isLastTry) => {
      await database.inOrg(org, (_, client) => markDone(client))
      wentOn.push({ turn, decided, isLastTry })
    },
    carryOutAfter: (_, afterS) => void waits.push(afterS),
    random: () => 0.5,
    signal: new AbortController().signal,
    log,
  })

const call = (change: object = {}) => ({
  orgId,
  userId: 'ann',
  conversationId: 'c1',
  source: 'chat',
  name: tool.name,
  args: { title: 'x' },
  ...change,
})

function waitingOf(answer: RunAnswer) {
  if (answer.kind !== 'waits') throw new Error('it ran')
  return answer.waiting
}
const hold = async (change: object = {}) => waitingOf(await approvals().hold(tool, call(change)))

async function attach(id: string): Promise<void> {
  await attachCalls([{ approvalId: id, eventId: 'told' }])
}

async function attachCalls(calls: readonly { approvalId: string; eventId: string | null }[]) {
  const wait = await approvals().prepareWait(orgId, calls, { said: 'hi' })
  return database.inOrg(orgId, wait.attach)
}

describe('a turn that commits after its call was decided', () => {
  test.each(['approve', 'deny'] as const)('goes on at once (%s)', async (decision) => {
    const { approvalId } = await hold()
    await approvals().decide(orgId, approvalId, decision, actor())
    await carryOut().carryOut(approvalId)
    expect(wentOn).toEqual([])
    await attach(approvalId)
    await carryOut().carryOut(approvalId)
    expect(wentOn).toMatchObject([{ turn: { said: 'hi' }, decided: { approvalId } }])
  })
})

describe('an approved call that cannot be run', () => {
  const busy = () => Promise.reject(new AppError('RATE_LIMITED', 'its rate is used up'))

  const decidedAgo = (id: string, ago: string) =>
    database.pool.query(
      'update patchbay.tool_approvals set decided_at = now() - $2::interval where id = $1',
      [id, ago],
    )

  async function tryOften(id: string, runHeld = busy, times = 6): Promise<void> {
    for (let tries = 0; tries < times; tries += 1) {
      await carryOut(runHeld).carryOut(id)
      // The wait until the next try is over.
      await database.pool.query(
        'update patchbay.tool_approvals set lease_until = now() where id = $1',
        [id],
      )
    }
  }

  test.each([
    ['its limits let no try through', busy, 'it could not be run: its rate is used up'],
    [
      'what was asked for does not open any more',
      () => Promise.reject(new Error('no such data key')),
      'it could not be run: an error inside Patchbay',
    ],
  ])('has a run that says so, and its turn goes on with that: %s', async (_, runHeld, error) => {
    const { approvalId } = await hold()
    await attach(approvalId)
    const { runId } = await approvals().decide(orgId, approvalId, 'approve', actor())
    await decidedAgo(approvalId, '1 hour')
    await tryOften(approvalId, runHeld)
    expect(await runs().find(orgId, runId ?? '')).toMatchObject({ outcome: 'error', error })
    expect(wentOn).toMatchObject([
      { isLastTry: true, decided: { state: 'approved', run: { outcome: 'error', error } } },
    ])
    expect(await approvals().get(orgId, approvalId)).toMatchObject({ outcome: 'error' })
  })

  test('waits an hour for its limits, which costs it no try, and not as often as at first', async () => {
    const { approvalId } = await hold()
    await attach(approvalId)
    await approvals().decide(orgId, approvalId, 'approve', actor())
    await tryOften(approvalId, busy, 10)
    await decidedAgo(approvalId, '2 minutes')
    await tryOften(approvalId, busy, 1)
    await decidedAgo(approvalId, '59 minutes')
    await tryOften(approvalId, busy, 1)
    expect(waits).toEqual([...Array(10).fill(4), 60, 120])
    await carryOut().carryOut(approvalId)
    expect(wentOn).toMatchObject([{ isLastTry: false, decided: { run: { outcome: 'success' } } }])
  })

  test('is answered with that run, and can be asked for again', async () => {
    const { approvalId } = await hold({ source: 'api' })
    await approvals().decide(orgId, approvalId, 'approve', actor())
    await decidedAgo(approvalId, '1 hour')
    await tryOften(approvalId)
    const ask = () => approvals().hold(tool, call({ source: 'api' }))
    expect(await ask()).toMatchObject({ kind: 'ran', run: { outcome: 'error' } })
    expect(waitingOf(await ask()).approvalId).not.toBe(approvalId)
  })
})

describe('a call that asks again', () => {
  const ask = (change: object = {}) => approvals().hold(tool, call({ source: 'api', ...change }))
  const since = (column: string, id: string, ago: string) =>
    database.pool.query(
      `update patchbay.tool_approvals set ${column} = now() - $2::interval where id = $1`,
      [id, ago],
    )

  test('has what became of it for a day; after that it is another call', async () => {
    const { approvalId } = await hold({ source: 'api' })
    await approvals().decide(orgId, approvalId, 'approve', actor())
    await carryOut().carryOut(approvalId)
    await since('decided_at', approvalId, '25 hours')
    expect(waitingOf(await ask()).approvalId).not.toBe(approvalId)
  })

  test('is told nothing of a call that a turn of the chat made', async () => {
    const { approvalId } = await hold()
    await approvals().decide(orgId, approvalId, 'approve', actor())
    await carryOut().carryOut(approvalId)
    expect(waitingOf(await ask()).approvalId).not.toBe(approvalId)
  })

  test('when its time is over is another, and that the first has expired is told', async () => {
    const { approvalId } = await hold({ source: 'api' })
    await since('expires_at', approvalId, '1 second')
    expect(waitingOf(await ask()).approvalId).not.toBe(approvalId)
    const { rows } = await database.pool.query(
      `select data from patchbay.outbox_events where org_id = $1 and type = 'tool.approval.decided'`,
      [orgId],
    )
    expect(rows).toMatchObject([
      { data: { approvalId, userId: 'ann', source: 'api', state: 'expired', decidedBy: null } },
    ])
  })
})

test('a thousand calls of an org may wait; one more is told so, and one that waits already is the same', async () => {
  const { approvalId } = await hold()
  await database.pool.query(
    `insert into patchbay.tool_approvals
       (org_id, tool, tool_id, integration_id, user_id, source, arguments, call_hash, expires_at)
     select $1, 'a', $2, $2, 'ann', 'api', '{}', n::text, now() + interval '1 hour' from generate_series(2, 1000) as n`,
    [orgId, newId()],
  )
  await expect(hold({ args: { title: 'one more' } })).rejects.toMatchObject({
    code: 'RATE_LIMITED',
    message:
      '1000 calls of this org wait for a person already: somebody has to decide some of them first.',
  })
  expect((await hold()).approvalId).toBe(approvalId)
  const { rows } = await database.pool.query(
    'select count(*)::int from patchbay.tool_approvals where org_id = $1',
    [orgId],
  )
  expect(rows).toEqual([{ count: 1000 }])
})

test('a call whose first turn failed is told of again with the turn that waits for it, once', async () => {
  const first = await hold()
  expect(first.eventId).toEqual(expect.any(String))
  const again = await hold()
  expect(again).toMatchObject({ approvalId: first.approvalId, eventId: null })
  const [told] = await attachCalls([again])
  const later = await hold()
  expect(await attachCalls([later])).toEqual([later])
  const { rows } = await database.pool.query(
    `select id, data from patchbay.outbox_events where org_id = $1 and type = 'tool.approval.requested' order by id`,
    [orgId],
  )
  const { approvalId, expiresAt } = first
  const data = { approvalId, tool: tool.name, userId: 'ann', source: 'chat', expiresAt }
  const whole = { ...data, arguments: { title: 'x' } }
  expect(rows).toEqual([
    { id: first.eventId, data: whole },
    { id: told?.eventId, data: whole },
  ])
})

test('of all who decide, sweep and carry out at the same moment one has it', async () => {
  for (let round = 0; round < 20; round += 1) {
    const { approvalId } = await hold({ args: { round } })
    await attach(approvalId)
    const started: string[] = []
    const run = (held: HeldCall) => {
      started.push(held.runId)
      return ran(held)
    }
    const soon = round % 2 === 0 ? '0 seconds' : '1 hour'
    await database.pool.query(
      'update patchbay.tool_approvals set expires_at = now() + $2::interval where id = $1',
      [approvalId, soon],
    )
    const carry = () =>
      Promise.all([carryOut(run).carryOut(approvalId), carryOut(run).carryOut(approvalId)])
    const decide = async (_: unknown, at: number) => {
      await approvals()
        .decide(orgId, approvalId, at % 2 === 0 ? 'approve' : 'deny', actor(`by ${at}`))
        .then(carry, () => undefined)
    }
    wentOn = []
    await Promise.all([
      ...Array.from({ length: 10 }, decide),
      expireApprovals(database.pool),
      expireApprovals(database.pool),
    ])
    await carry()
    const { state, runId } = await approvals().get(orgId, approvalId)
    expect(started).toEqual(state === 'approved' ? [runId] : [])
    expect(wentOn).toMatchObject([{ decided: { approvalId, state } }])
  }
  const { rows } = await database.pool.query(
    `select count(*)::int from patchbay.outbox_events where org_id = $1 and type = 'tool.approval.decided'`,
    [orgId],
  )
  expect(rows).toEqual([{ count: 20 }])
})
