import { readFile } from 'node:fs/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
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
    expect(text).toMatch(/^nodejs_eventloop_lag_p99_seconds /m)
  })

  test('counts requests by the route as it was declared, whoever asked for what', async () => {
    const { orgId, token } = await api.addOrgOf('me')
    await api.call('GET', `/orgs/${orgId}/integrations`, { token })
    await api.call('GET', `/orgs/${orgId}/integrations`)
    await api.call('GET', '/orgs/nobody-knows/integrations', { token })
    await api.call('GET', '/readyz')
    await api.call('GET', '/secret-path-7f3a', { token })
    await api.call('GET', '/secret-path-7f3a')
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

  test('reads the database once, however many ask at once', async () => {
    const { url } = api.database
    await using stack = new AsyncDisposableStack()
    const exposition = makeExposition(makeMetrics('0.0.0'), makeLog('silent'))
    exposition.readFrom(url, stack)
    const calls = async () =>
      (
        await api.database.pool.query(
          `select count(*)::int as count from pg_stat_activity where application_name = 'patchbay metrics' and datname = current_database()`,
        )
      ).rows[0].count
    const before = await calls()
    const texts = await Promise.all(Array.from({ length: 50 }, () => exposition.expose()))
    expect(await calls()).toBe(before + 1)
    for (const { text } of texts) expect(text).toContain('patchbay_database_up 1')
  })
})

test('before the database is there, and while it is away, what the process counted is told alone', async () => {
  await using stack = new AsyncDisposableStack()
  const exposition = makeExposition(makeMetrics('0.0.0'), makeLog('silent'))
  exposition.meter.attempted('delivered', 10)
  const answer = answerScrapes(exposition)
  const ask = async (path: string) => {
    const response = await answer(new Request(`http://localhost${path}`))
    return { status: response.status, text: await response.text() }
  }
  for (const isOpened of [false, true]) {
    if (isOpened) exposition.readFrom('postgres://127.0.0.1:1/nothing', stack)
    const { text } = await ask('/metrics')
    expect(text).toContain('\npatchbay_database_up 0\n')
    expect(text).toContain(
      'patchbay_delivery_attempt_duration_seconds_count{outcome="delivered"} 1',
    )
    expect(text).not.toContain('patchbay_deliveries_owed')
  }
  expect(await ask('/healthz')).toEqual({ status: 200, text: '{"status":"alive"}' })
  expect(await ask('/orgs')).toMatchObject({ status: 404 })
})

test('docs/metrics.md names every metric, and no other', async () => {
  const page = await readFile('docs/metrics.md', 'utf8')
  const documented = [...page.matchAll(/^\| `(patchbay_\w+)/gm)].map(([, name = '']) => name)
  expect(documented.toSorted()).toEqual(namesOf((await scrape()).text))
  const asked = [...page.matchAll(/expr: .*?(patchbay_\w+?)(?:_count)?[{)]/g)]
  expect(asked.length).toBeGreaterThan(3)
  for (const [, name] of asked) expect(documented).toContain(name)
})
