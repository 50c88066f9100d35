import { beforeEach, expect, test } from 'vitest'
import { AppError, invalidField } from '../core/error.ts'
import { makeArgsValidator } from './args.ts'
import { callHashOf } from './call-hash.ts'
import type { RunnableTool } from './catalog.ts'
import { type ExternalTool, type Invocation, type InvokeDeps, makeInvoke } from './invoke.ts'
import { RunTakenError } from './runs.ts'

const argsSchema = {
  type: 'object',
  properties: { n: { type: 'integer' } },
  additionalProperties: false,
}
const external: ExternalTool = {
  kind: 'external',
  id: 'tool-1',
  name: 'jira.createIssue',
  argsSchema,
  integrationId: 'integration-1',
  httpConfig: { method: 'GET', url: 'https://example.com/' },
  rateLimit: { perMinute: 5 },
  description: 'Creates an issue.',
  sourceKey: null,
  config: {},
  approval: 'auto',
  outputSchema: null,
}
const builtin = (run: () => Promise<unknown>): RunnableTool => ({
  kind: 'builtin',
  tool: {
    name: 'clock.now',
    wireName: 'clock_now',
    description: '',
    permission: 'org:tools:use',
    argsSchema,
    run,
  },
})

let noted: unknown[] = []
beforeEach(() => {
  noted = []
})

async function invoke(
  tool: RunnableTool | null,
  call: Partial<Invocation> = {},
  limited: InvokeDeps['limited'] = (_, work) => work(),
) {
  let ids = 0
  const run = makeInvoke({
    find: async () => tool,
    names: async () => ['clock.now', 'jira.createIssue', 'jira.closeIssue'],
    validate: makeArgsValidator().validate,
    call: async (_, { args }) => ({
      outcome: 'timeout',
      result: null,
      error: 'no answer within 10 s',
      arguments: args,
      attempts: 1,
      host: 'example.com',
    }),
    findById: async () => (tool?.kind === 'external' ? tool : null),
    hold: async ({ name }) => ({
      kind: 'waits',
      waiting: { approvalId: 'a1', eventId: null, tool: name, arguments: {}, expiresAt: '' },
    }),
    runs: {
      begin: async (run) => void noted.push(['begin', run.id]),
      end: async (run) => void noted.push(['end', run.id]),
    },
    limited,
    newId: () => `run-${++ids}`,
  })
  const whole: Invocation = {
    orgId: 'acme',
    userId: 'ann',
    conversationId: 'c1',
    source: 'api',
    name: 'jira.createIssue',
    args: { n: 1 },
    ...call,
  }
  const answer = await run.ask(whole, async () => true)
  return answer.kind === 'ran' ? answer.run : answer.waiting
}

test('a run says everything about itself', async () => {
  expect(await invoke(external)).toEqual({
    id: 'run-1',
    orgId: 'acme',
    userId: 'ann',
    conversationId: 'c1',
    source: 'api',
    tool: 'jira.createIssue',
    toolId: 'tool-1',
    integrationId: 'integration-1',
    host: 'example.com',
    arguments: { n: 1 },
    outcome: 'timeout',
    result: null,
    error: 'no answer within 10 s',
    durationMs: expect.any(Number),
    attempts: 1,
    approvalId: null,
  })
  expect(noted).toEqual([['end', 'run-1']])
})

test('a tool that asks is held, and nothing runs', async () => {
  expect(await invoke({ ...external, approval: 'ask' })).toMatchObject({ approvalId: 'a1' })
  expect(noted).toEqual([])
})

test('a built-in tool is no one’s integration', async () => {
  expect(await invoke(builtin(async () => 'noon'))).toMatchObject({
    tool: 'clock.now',
    toolId: null,
    integrationId: null,
    host: null,
    outcome: 'success',
    result: 'noon',
  })
})

test('what a built-in tool says of its arguments is an outcome; a bug in it is a bug', async () => {
  const refuses = builtin(async () => {
    throw invalidField('timeZone', 'is none')
  })
  expect(await invoke(refuses)).toMatchObject({ outcome: 'error', error: 'timeZone: is none' })
  const breaks = builtin(async () => {
    throw new TypeError('undefined is not a function')
  })
  await expect(invoke(breaks)).rejects.toThrow(TypeError)
})

test('an unknown tool is not found, with what was probably meant', async () => {
  const error = await invoke(null, { name: 'jira_create_issue' }).catch((thrown: unknown) => thrown)
  expect(error).toBeInstanceOf(AppError)
  expect(error).toMatchObject({
    code: 'NOT_FOUND',
    message: 'No such tool: jira_create_issue. Did you mean jira.createIssue or jira.closeIssue?',
  })
  await expect(invoke(null, { name: 'xyz' })).rejects.toThrow(/^No such tool: xyz\.$/)
})

test('arguments that do not fit are refused before there is a run', async () => {
  await expect(invoke(external, { args: { n: 'x', m: 1 } })).rejects.toMatchObject({
    code: 'INVALID_BODY',
    details: [
      { path: 'args.m', message: 'is not an argument of this tool' },
      { path: 'args.n', message: 'must be integer' },
    ],
  })
  await expect(invoke(external, { args: 'n=1' })).rejects.toMatchObject({ code: 'INVALID_BODY' })
})

test('a conversation id that cannot be recorded is refused before there is a run', async () => {
  await expect(invoke(external, { conversationId: 'a\0b' })).rejects.toMatchObject({
    details: [{ path: 'conversationId' }],
  })
})

test('a run goes through the limits with all that they go by, and none without', async () => {
  const asked: unknown[] = []
  const refuse: InvokeDeps['limited'] = (run) => {
    asked.push(run)
    return Promise.reject(new AppError('RATE_LIMITED', 'later'))
  }
  await expect(invoke(external, {}, refuse)).rejects.toMatchObject({ code: 'RATE_LIMITED' })
  const noon = builtin(async () => 'noon')
  await expect(invoke(noon, {}, refuse)).rejects.toMatchObject({ code: 'RATE_LIMITED' })
  expect(asked).toEqual([
    {
      orgId: 'acme',
      tool: 'jira.createIssue',
      toolId: 'tool-1',
      integrationId: 'integration-1',
      rateLimit: { perMinute: 5 },
    },
    { orgId: 'acme', tool: 'clock.now', toolId: null, integrationId: null, rateLimit: null },
  ])
  // What cannot run anyway takes nothing.
  await expect(invoke(external, { args: { n: 'x' } }, refuse)).rejects.toMatchObject({
    code: 'INVALID_BODY',
  })
  expect(asked).toHaveLength(2)
})

test('an approved call that cannot leave is no run of this process where another has begun it', async () => {
  const ended: unknown[] = []
  const { runHeld } = makeInvoke({
    find: async () => external,
    findById: async () => external,
    names: async () => [],
    validate: () => [],
    // As where its integration was disabled: nothing is begun before it is known that nothing leaves.
    call: async () => ({
      outcome: 'error',
      result: null,
      error: 'its integration is disabled',
      arguments: {},
      attempts: 0,
      host: null,
    }),
    hold: () => Promise.reject(new Error('it is approved')),
    runs: {
      begin: () => Promise.reject(new RunTakenError('the run exists')),
      end: async (run) => void ended.push(run),
    },
    limited: (_, work) => work(),
    newId: () => 'id',
  })
  const args = { n: 1 }
  const who = { orgId: 'acme', userId: 'ann', conversationId: null, source: 'api' }
  const what = { tool: external.name, toolId: external.id, integrationId: external.integrationId }
  const held = { ...who, ...what, approvalId: 'a1', runId: 'r1', args }
  expect(await runHeld({ ...held, callHash: callHashOf(external, args) })).toBeNull()
  expect(ended).toEqual([])
})
