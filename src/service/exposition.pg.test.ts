import { readFile } from 'node:fs/promises'
import { connect, createServer } from 'node:net'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { parse } from 'yaml'
import { z } from 'zod'
import { openTestApi, type TestApi } from '../../test/fixtures/api.ts'
import { makeLog } from '../telemetry/log.ts'
import { makeMetrics } from '../telemetry/metrics.ts'
import { answerScrapes, makeExposition } from './exposition.ts'

let api: TestApi
beforeAll(async () => {
  api = await openTestApi()
})
afterAll(() => api[Symbol.asyncDispose]())

const scrape = () => api.call('GET', '/metrics')
const namesOf = (text: string) =>
  [...text.matchAll(/^# TYPE (patchbay_\w+)/gm)].map(([, name = '']) => name).toSorted()

describe('GET /metrics', () => {
  test('is open, and tells what is to be done', async () => {
    const { status, headers, text } = await scrape()
    expect(status).toBe(200)
    expect(headers.get('content-type')).toBe('text/plain; version=0.0.4; charset=utf-8')
    expect(text).toContain('\npatchbay_database_up 1\n')
    expect(text).toContain('\npatchbay_deliveries_owed{state="in_flight"} 0\n')
    expect(text).toContain('\npatchbay_subscriptions{state="healthy"} 0\n')
    expect(text).toMatch(/^process_resident_memory_bytes \d+$/m)
    expect(text).toMatch(/^patchbay_thread_busy_seconds_total \d/m)
  })

  test('counts requests by the route as it was declared, whoever asked for what', async () => {
    const { orgId, token } = await api.addOrgOf('me')
    await api.call('GET', `/orgs/${orgId}/integrations`, { token })
    await api.call('GET', `/orgs/${orgId}/integrations`)
    await api.call('GET', '/orgs/nobody-knows/integrations', { token })
    await api.call('GET', '/readyz')
    await api.call('GET', '/secret-path-7f3a', { token })
    await api.call('GET', '/secret-path-7f3a')
    for (const method of ['REPORT', 'MKCOL']) await api.call(method, '/secret-path-7f3a')
    const { text } = await scrape()
    const counts = [
      ...text.matchAll(/^patchbay_http_request_duration_seconds_count\{(.+)\} (\d+)$/gm),
    ].map(([, labels = '', count]) => [labels.replaceAll('"', ''), Number(count)])
    expect(Object.fromEntries(counts)).toMatchObject({
      'method=GET,route=/orgs/:orgId/integrations,status=200': 1,
      'method=GET,route=/orgs/:orgId/integrations,status=401': 1,
      'method=GET,route=/orgs/:orgId/integrations,status=404': 1,
      'method=GET,route=/readyz,status=200': 1,
      'method=GET,route=none,status=404': 1,
      'method=GET,route=none,status=401': 1,
      'method=other,route=none,status=401': 2,
    })
    expect(text).not.toContain(orgId)
    expect(text).not.toContain('nobody-knows')
    expect(text).not.toContain('secret-path')
  })

  test('counts tools that ran', async () => {
    const { orgId, token } = await api.addOrgOf('runner')
    const json = { orgId, args: {} }
    expect((await api.call('POST', '/tools/clock.now/execute', { token, json })).status).toBe(200)
    expect((await scrape()).text).toContain(
      '\npatchbay_tool_run_duration_seconds_count{outcome="success"} 1\n',
    )
  })
})

/** Each second look is a new one: what was told stays for a second, what was read for five. */
function openExposition(patienceMs: number) {
  let ms = 0
  const exposition = makeExposition({
    metrics: makeMetrics('0.0.0'),
    log: makeLog('silent'),
    nowMs: () => ms,
    patienceMs,
  })
  const answer = answerScrapes(exposition)
  const ask = async (path: string) => {
    ms += 10_000
    const response = await answer(new Request(`http://localhost${path}`))
    return { status: response.status, text: await response.text() }
  }
  return { exposition, ask }
}

describe('a process whose database is not there', () => {
  test('tells what it counted alone, before and while it is away', async () => {
    await using stack = new AsyncDisposableStack()
    const { exposition, ask } = openExposition(5000)
    exposition.meter.attempted('delivered', 10)
    for (const isOpened of [false, true]) {
      if (isOpened) exposition.readFrom('postgres://127.0.0.1:1/nothing', stack)
      const { text } = await ask('/metrics')
      expect(text).toContain('\npatchbay_database_up 0\n')
      expect(text).toContain(
        'patchbay_delivery_attempt_duration_seconds_count{outcome="delivered"} 1',
      )
      expect(text).not.toContain('patchbay_owed_age_seconds')
    }
    expect(await ask('/healthz')).toEqual({ status: 200, text: '{"status":"alive"}' })
    expect(await ask('/orgs')).toMatchObject({ status: 404 })
  })

  test('says so when a connection says nothing any more, takes another one, and says nothing of it at its end', async () => {
    const to = new URL(api.database.url)
    const { port, hostname } = to
    let isFrozen = false
    const onward = createServer((socket) => {
      const server = connect(Number(port), hostname)
      for (const [from, into] of [
        [socket, server],
        [server, socket],
      ] as const) {
        from.on('data', (chunk) => isFrozen || into.write(chunk))
        from.on('close', () => into.destroy())
        from.on('error', () => into.destroy())
      }
    })
    await new Promise<void>((done) => onward.listen(0, '127.0.0.1', done))
    const address = onward.address()
    to.port = String(typeof address === 'object' ? address?.port : 0)

    const stack = new AsyncDisposableStack()
    const { exposition, ask } = openExposition(1000)
    exposition.readFrom(to.href, stack)
    const isUp = async () =>
      /^patchbay_database_up (\d)$/m.exec((await ask('/metrics')).text)?.[1] ?? 'not told'
    expect(await isUp()).toBe('1')
    isFrozen = true
    expect(await isUp()).toBe('0')
    isFrozen = false
    expect(await isUp()).toBe('1')
    isFrozen = true
    const last = isUp()
    await stack.disposeAsync()
    expect(await last).toBe('0')
    expect(await isUp()).toBe('not told')
    onward.close()
  })
})

test('docs/metrics.md names every metric, and no other', async () => {
  const page = await readFile('docs/metrics.md', 'utf8')
  const documented = [...page.matchAll(/^\| `(patchbay_\w+)/gm)].map(([, name = '']) => name)
  expect(documented.toSorted()).toEqual(namesOf((await scrape()).text))
  const rules = z
    .object({ groups: z.array(z.object({ rules: z.array(z.object({ expr: z.string() })) })) })
    .parse(parse(/```yaml\n(groups:[\s\S]*?)```/.exec(page)?.[1] ?? ''))
    .groups.flatMap((group) => group.rules)
  expect(rules.length).toBeGreaterThan(3)
  for (const { expr } of rules) {
    const names = [...expr.matchAll(/patchbay_\w+/g)].map(([name]) => name.replace(/_count$/, ''))
    expect(documented).toEqual(expect.arrayContaining(names))
    expect(names).not.toEqual([])
  }
})
