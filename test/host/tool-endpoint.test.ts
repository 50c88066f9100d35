import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { makeSign } from '../../src/security/signature.ts'
import { openStory, type Story, type StoryOrg } from '../behaviours/story.ts'
import { openReceiver, type ReceivedRequest, type Receiver } from '../fixtures/receiver.ts'
import { makeVerifyCall } from './examples/tool-endpoint.ts'

let story: Story
let org: StoryOrg
let endpoint: Receiver
let integration: { readonly path: string; readonly toolSecret: string }

beforeAll(async () => {
  story = await openStory({ isWorker: false })
  org = await story.addOrg()
  endpoint = await openReceiver()
  const json = { providerKey: 'generic-webhook', name: 'My service' }
  const { body } = await org.call('POST', `${org.path}/integrations`, json)
  const path = `${org.path}/integrations/${body.integration.id}`
  integration = { path, toolSecret: body.toolSecret }
  for (const method of ['GET', 'POST']) {
    const tool = {
      name: `service.${method.toLowerCase()}`,
      description: 'Does something.',
      argsSchema: { type: 'object' },
      httpConfig: { method, url: `${endpoint.url}/do` },
    }
    expect(await org.call('POST', `${path}/tools`, tool)).toMatchObject({ status: 201 })
  }
})
afterAll(async () => {
  await endpoint[Symbol.asyncDispose]()
  await story[Symbol.asyncDispose]()
})

const trust = () => ({
  toolSecret: integration.toolSecret,
  patchbayUrl: story.url,
  issuer: 'patchbay',
  audience: endpoint.url,
})

/** What arrives when the tool is called. */
async function callOf(tool: string): Promise<ReceivedRequest & { readonly runId: string }> {
  const json = { args: { a: 1 }, conversationId: 'conv-42' }
  const { status, body } = await org.call('POST', `${org.path}/tools/${tool}/execute`, json)
  expect(status).toBe(200)
  const request = endpoint.requests.at(-1)
  if (request === undefined) throw new Error('nothing arrived')
  return { ...request, runId: body.runId }
}

const verify = ({ headers, body }: ReceivedRequest, other: object = {}) =>
  makeVerifyCall({ ...trust(), ...other })(headers, Buffer.from(body))

test.each(['service.post', 'service.get'])(
  'the endpoint of %s knows by whom it is called, and for whom',
  async (tool) => {
    const call = await callOf(tool)
    expect(await verify(call)).toEqual({
      orgId: org.id,
      userId: expect.any(String),
      conversationId: 'conv-42',
      tool,
      runId: call.runId,
    })
  },
)

test('while the secret is being changed, the old one and the new one both fit', async () => {
  const rotate = `${integration.path}/rotate-tool-secret`
  const { body } = await org.call('POST', rotate, { overlapSeconds: 60 })
  const call = await callOf('service.post')
  expect(await verify(call)).toMatchObject({ orgId: org.id })
  expect(await verify(call, { toolSecret: body.secret })).toMatchObject({ orgId: org.id })
})

test('what was changed, is meant for another, or is put together from two calls, is refused', async () => {
  const call = await callOf('service.post')
  await expect(verify({ ...call, body: `${call.body} ` })).rejects.toThrow(/signature/)
  const late = { ...call.headers, 'webhook-timestamp': '1700000000' }
  await expect(verify({ ...call, headers: late })).rejects.toThrow(/signature/)
  await expect(verify(call, { audience: 'https://elsewhere.example' })).rejects.toThrow(/"aud"/)
  await expect(verify(call, { issuer: 'https://elsewhere.example' })).rejects.toThrow(/"iss"/)
  const other = await callOf('service.get')
  const mixed = { ...call.headers, 'x-ai-chat-context': other.headers['x-ai-chat-context'] }
  await expect(verify({ ...call, headers: mixed })).rejects.toThrow(/another call/)
})

const textOf = (path: string) => readFile(join(import.meta.dirname, '../..', path), 'utf8')

test('docs/tools.md shows this endpoint as it runs here', async () => {
  const code = await textOf('test/host/examples/tool-endpoint.ts')
  expect(await textOf('docs/tools.md')).toContain(`\`\`\`ts\n${code}\`\`\`\n`)
})

test('the request in docs/tools.md is signed by the secret of docs/receiving.md', async () => {
  const [, head = '', body = ''] =
    /```http\n(POST [\s\S]*?)\n\n(.*)\n```/.exec(await textOf('docs/tools.md')) ?? []
  const [secret = ''] = /whsec_[\w+/]{43}=/.exec(await textOf('docs/receiving.md')) ?? []
  const headerOf = (name: string) => new RegExp(`^${name}: (.*)$`, 'm').exec(head)?.[1] ?? ''
  const { standard, plain } = makeSign([secret])(
    headerOf('webhook-id'),
    Number(headerOf('webhook-timestamp')),
    body,
  )
  expect(headerOf('webhook-signature')).toBe(standard)
  expect(headerOf('X-AI-Chat-Signature')).toBe(plain)
  expect(headerOf('idempotency-key')).toBe(headerOf('webhook-id'))
})
