import { expect, test } from 'vitest'
import { callHashOf } from './call-hash.ts'
import type { ExternalTool } from './invoke.ts'

const tool: ExternalTool = {
  kind: 'external',
  id: 'tool',
  name: 'jira.createIssue',
  description: 'Makes an issue',
  argsSchema: { type: 'object', title: 'Issue' },
  outputSchema: null,
  integrationId: 'integration',
  httpConfig: {
    method: 'POST',
    url: 'https://example.com/{{config.project}}',
    headers: { authorization: 'Bearer {{credentials.token}}' },
  },
  sourceKey: null,
  config: { project: 'sandbox', approvers: ['U1'] },
  approval: 'ask',
  rateLimit: null,
}
const ofServer: ExternalTool = {
  ...tool,
  httpConfig: null,
  sourceKey: 'create',
  config: { url: 'https://mcp.example.com/' },
}
const args = { title: 'x', labels: ['a', 'b'] }

test('the same call has one hash, whatever the order of its members', () => {
  const { httpConfig, ...rest } = tool
  const again = { httpConfig, ...rest, argsSchema: { title: 'Issue', type: 'object' } }
  const sent: unknown = JSON.parse(JSON.stringify({ labels: ['a', 'b'], title: 'x' }))
  expect(callHashOf(again, sent)).toBe(callHashOf(tool, args))
})

test.each<[string, ExternalTool, Partial<ExternalTool>]>([
  ['another tool', tool, { id: 'other' }],
  ['another method', tool, { httpConfig: { method: 'PUT', url: 'https://example.com/' } }],
  ['another schema', tool, { argsSchema: { type: 'object' } }],
  ['another project of the integration', tool, { config: { project: 'production' } }],
  ['another tool of a server', ofServer, { sourceKey: 'delete' }],
  ['another server', ofServer, { config: { url: 'https://other.example.com/' } }],
])('%s is another call', (_, from, change) => {
  expect(callHashOf({ ...from, ...change }, args)).not.toBe(callHashOf(from, args))
})

test.each<[string, Partial<ExternalTool>]>([
  ['its name', { name: 'jira.create' }],
  ['its rate', { rateLimit: { perMinute: 1 } }],
  ['what of the config is not filled in', { config: { project: 'sandbox', approvers: [] } }],
])('a tool is called alike whatever %s', (_, change) => {
  expect(callHashOf({ ...tool, ...change }, args)).toBe(callHashOf(tool, args))
})

test('other arguments are another call', () => {
  const others = [{ ...args, title: 'y' }, { ...args, labels: ['b', 'a'] }, { title: 'x' }, {}]
  const hashes = [args, ...others].map((each) => callHashOf(tool, each))
  expect(new Set(hashes).size).toBe(5)
})
