import { spawn } from 'node:child_process'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { afterAll, expect, test } from 'vitest'
import { openProxy } from '../../test/fixtures/proxy.ts'
import { openReceiver } from '../../test/fixtures/receiver.ts'

const stack = new AsyncDisposableStack()
afterAll(() => stack.disposeAsync())

const receiver = stack.use(await openReceiver())
const proxy = stack.use(await openProxy({ port: receiver.port }))

/** Judges and sends, and prints what came of it. */
const PROGRAM = `
  import { parseAllowList } from './src/egress/allow-list.ts'
  import { openEgress } from './src/egress/egress.ts'
  await using egress = openEgress({
    isHttpAllowed: true,
    allow: parseAllowList(['127.0.0.1']),
    allowInternal: parseAllowList([]),
  })
  const caller = { orgId: 'acme', network: 'public', domains: null }
  const request = { method: 'POST', headers: [], body: '{}', timeoutMs: 5000, maxBytes: 100 }
  const results = []
  for (const url of process.argv.slice(1)) {
    const { protocol, hostname, port, origin, pathname } = new URL(url)
    const target = { href: url, origin, path: pathname, host: hostname, port: Number(port) || 80 }
    const verdict = egress.judge(url, caller)
    // What the judge refuses is sent all the same: the connector has the last word.
    const sent = await egress.send(verdict.isAllowed ? verdict.target : target, 'public', request)
    results.push([verdict.isAllowed, sent.kind])
  }
  const keys = await egress.operatorFetch(process.argv[1])
  results.push(['keys', keys.status])
  console.log(JSON.stringify(results))
`

test('proxy variables of the environment have no effect', async () => {
  const url = `http://127.0.0.1:${proxy.port}`
  const names = ['HTTP_PROXY', 'HTTPS_PROXY', 'ALL_PROXY', 'http_proxy', 'https_proxy', 'all_proxy']
  const child = spawn(
    process.execPath,
    [
      '--input-type=module-typescript',
      '--eval',
      PROGRAM,
      `${receiver.url}/hook`,
      'http://169.254.169.254/latest/meta-data/',
    ],
    {
      cwd: join(import.meta.dirname, '../..'),
      stdio: ['ignore', 'pipe', 'inherit'],
      env: {
        ...Object.fromEntries(names.map((name) => [name, url])),
        NODE_USE_ENV_PROXY: '1',
        NO_PROXY: '',
      },
    },
  )
  expect(JSON.parse(await text(child.stdout))).toEqual([
    [true, 'answer'],
    [false, 'blocked'],
    ['keys', 200],
  ])
  expect({ wishes: proxy.wishes, plain: proxy.plain }).toEqual({ wishes: [], plain: [] })
  expect(receiver.requests.map((request) => request.method)).toEqual(['POST', 'GET'])
})
