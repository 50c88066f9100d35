import { spawn } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { listen } from '../../src/http/listen.ts'
import { makeLog } from '../../src/telemetry/log.ts'
import { openTestApi } from '../fixtures/api.ts'
import { openReceiver } from '../fixtures/receiver.ts'
import { answerOfTool, defineTools } from './tools.ts'
import { openWithToken } from './with-token.ts'

/** The official conformance suite of MCP, against the real API with tools of an org, over the loopback. */
const SUITE = join(
  import.meta.dirname,
  '../../node_modules/@modelcontextprotocol/conformance/dist/index.js',
)

const stack = new AsyncDisposableStack()
afterAll(() => stack.disposeAsync())
const api = stack.use(
  // Where the API is said to be nowhere, it is on this machine.
  await openTestApi({
    PUBLIC_URL: '',
    SLACK_CLIENT_ID: '',
    SLACK_CLIENT_SECRET: '',
    SLACK_SIGNING_SECRET: '',
  }),
)
const endpoint = stack.use(await openReceiver(answerOfTool))
const owner = await api.addOrgOf('owner')
await defineTools(api, owner, endpoint.url)
const server = stack.use(await listen('127.0.0.1', 0, api.fetch, { log: makeLog('silent') }))
const front = stack.use(await openWithToken(server.url, owner.token))
const scratch = await mkdtemp(join(tmpdir(), 'patchbay-mcp-'))
stack.defer(() => rm(scratch, { recursive: true }))

function runSuite(revision: string): Promise<{ code: number | null; said: string }> {
  const baseline = join(import.meta.dirname, `expected-failures-${revision}.yml`)
  const url = `${front.url}/orgs/${owner.orgId}/mcp`
  const child = spawn(
    process.execPath,
    [
      SUITE,
      'server',
      '--url',
      url,
      '--requirements',
      revision,
      '--expected-failures',
      baseline,
    ].concat(['--output-dir', join(scratch, revision)]),
    // Nothing of this environment is the suite's business, and nothing is written but there.
    { cwd: scratch, env: {}, stdio: ['ignore', 'pipe', 'pipe'] },
  )
  let said = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      said += text
    })
  }
  return new Promise((done, fail) => {
    child.on('error', fail)
    child.on('close', (code) => done({ code, said }))
  })
}

test.each([
  [
    '2026-07-28',
    ['server-stateless', 'tools-list', 'tools-call-error', 'dns-rebinding-protection'],
  ],
  ['2025-11-25', ['server-initialize', 'ping', 'tools-list', 'tools-call-error']],
])(
  'what the suite for %s wants of tools is there, and what is missing is listed',
  async (revision, ran) => {
    const { code, said } = await runSuite(revision)
    expect(code, said).toBe(0)
    for (const scenario of ran) expect(said).toContain(`=== Running scenario: ${scenario} ===`)
  },
)

test('nothing broke inside', () => {
  expect(api.broken).toEqual([])
})
