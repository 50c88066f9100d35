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
import { makeApprovals } from './approvals.ts'
import { type Decided, makeCarryOut } from './carry-out.ts'
import type { ExternalTool, HeldCall, RunAnswer } from './invoke.ts'
import { type FinishedRun, makeRuns } from './runs.ts'

const newId = makeNewId({ nowMs: Date.now, randomBytes })
const emitIn = (tx: DbTx, event: EventInput) => emit(fromDrizzle(tx, sql), event)
const audit = () => Promise.resolve()
const log = makeLog('silent')

let database: TestDatabase
let keyring: Keyring
let orgId: string
let wentOn: { turn: unknown; decided: Decided; isLastTry: boolean }[]

beforeAll(async () => {
  database = await openTestDatabase()
  keyring = await openTestKeyring(database.pool)
})
afterAll(() => database[Symbol.asyncDispose]())
beforeEach(async () => {
  orgId = await database.addOrg()
  wentOn = []
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

const carryOut = (runHeld: (call: HeldCall) => Promise<FinishedRun | null> = ran) =>
  makeCarryOut({
    db: database.pool,
    keyring,
    newToken: randomUUID,
    runHeld,
    findRun: runs().find,
    goOn: async (org, turn, decided, markDone, isLastTry) => {
      await database.inOrg(org, (_, client) => markDone(client))
      wentOn.push({ turn, decided, isLastTry })
    },
    carryOutAfter: () => undefined,
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
  const wait = await approvals().prepareWait(orgId, [id], { said: 'hi' })
  await database.inOrg(orgId, (_, client) => wait.attach(client))
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
