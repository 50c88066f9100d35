import { expect, test } from 'vitest'
import { PLAIN_HOST } from '../../test/fixtures/tool-host.ts'
import { makeCall } from './call.ts'
import { makeCircuit } from './circuit.ts'
import type { McpCalled } from './mcp/client/client.ts'

const tool = {
  kind: 'external' as const,
  id: 'tool',
  name: 'jira.createIssue',
  description: 'Creates an issue.',
  argsSchema: { type: 'object', properties: { pin: { 'x-secret': true } } },
  outputSchema: null,
  integrationId: PLAIN_HOST.id,
  httpConfig: null,
  sourceKey: 'create',
  approval: 'auto' as const,
  rateLimit: null,
}
const never = () => Promise.reject(new Error('nothing goes there'))

function callOf(called: McpCalled) {
  const call = makeCall({
    egress: { judge: () => ({ isAllowed: false, reason: 'is not called here' }) },
    circuit: makeCircuit(() => 0),
    contextToken: never,
    sendCall: never,
    callMcp: async () => called,
    loadHost: async () => PLAIN_HOST,
    userAgent: 'Patchbay/1.2.3',
  })
  const who = { orgId: 'acme', userId: 'ann', conversationId: null, source: 'api' }
  const invocation = { ...who, name: tool.name, args: { pin: '4711' } }
  return () => call(tool, invocation, { id: 'run', begin: async () => undefined })
}

test.each([
  ['fails', /has failed 5 times in a row/],
  ['works', /HTTP 503/],
  ['neither', /HTTP 503/],
] as const)('a call that says that its server %s counts as that', async (health, error) => {
  const result = { outcome: 'error', result: null, error: 'HTTP 503' } as const
  const call = callOf({ result, health })
  for (let calls = 0; calls < 5; calls += 1) await call()
  expect((await call()).error).toMatch(error)
})

test('a server does not say back what the schema of the arguments marks as secret', async () => {
  const result = { outcome: 'success', result: { heard: 'pin 4711' }, error: null } as const
  expect(await callOf({ result, health: 'works' })()).toMatchObject({
    arguments: { pin: '[secret]' },
    result: { heard: 'pin [secret]' },
  })
})
