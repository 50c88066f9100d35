import { expect, test } from 'vitest'
import { makeMetrics } from './metrics.ts'

/** Lines of a metric, without its comments. */
const linesOf = (text: string, name: string) =>
  text.split('\n').filter((line) => line.startsWith(name))

test('what was counted is exposed by label, with its time in seconds', async () => {
  const metrics = makeMetrics('1.2.3')
  metrics.attempted('delivered', 30)
  metrics.attempted('delivered', 20)
  metrics.attempted('failed', 30_000)
  metrics.toolRan('timeout', 61_000)
  const { contentType, text } = await metrics.expose([])
  expect(contentType).toBe('text/plain; version=0.0.4; charset=utf-8')
  const attempts = linesOf(text, 'patchbay_delivery_attempt_duration_seconds')
  expect(attempts).toContain(
    'patchbay_delivery_attempt_duration_seconds_sum{outcome="delivered"} 0.05',
  )
  expect(attempts).toContain(
    'patchbay_delivery_attempt_duration_seconds_count{outcome="delivered"} 2',
  )
  expect(attempts).toContain(
    'patchbay_delivery_attempt_duration_seconds_bucket{le="0.025",outcome="delivered"} 1',
  )
  expect(attempts).toContain(
    'patchbay_delivery_attempt_duration_seconds_bucket{le="30",outcome="failed"} 1',
  )
  const runs = linesOf(text, 'patchbay_tool_run_duration_seconds')
  expect(runs).toContain('patchbay_tool_run_duration_seconds_bucket{le="60",outcome="timeout"} 0')
  expect(runs).toContain('patchbay_tool_run_duration_seconds_bucket{le="+Inf",outcome="timeout"} 1')
  expect(text).toContain('patchbay_build_info{version="1.2.3"} 1')
})

test('what was read is exposed with its help, and is gone when it is not read again', async () => {
  const metrics = makeMetrics('1.2.3')
  const { text } = await metrics.expose([
    {
      name: 'patchbay_things',
      help: 'Things, by state.',
      values: [
        { labels: { state: 'good' }, value: 3 },
        { labels: { state: 'bad' }, value: 0 },
      ],
    },
    { name: 'patchbay_age_seconds', help: 'How old.', values: [{ value: 1.5 }] },
  ])
  expect(text).toContain(`
# HELP patchbay_things Things, by state.
# TYPE patchbay_things gauge
patchbay_things{state="good"} 3
patchbay_things{state="bad"} 0
`)
  expect(text).toContain('patchbay_age_seconds 1.5\n')
  expect((await metrics.expose([])).text).not.toContain('patchbay_things')
})

test('every line is a comment or a sample, and no metric is declared twice', async () => {
  const metrics = makeMetrics('1.2.3')
  metrics.requestAnswered({ method: 'GET', route: '/orgs/:orgId/events', status: 200 }, 3)
  const { text } = await metrics.expose([
    { name: 'patchbay_age_seconds', help: 'How old.', values: [{ value: 1 }] },
  ])
  expect(text.endsWith('\n')).toBe(true)
  const lines = text.trim().split('\n').filter(Boolean)
  const SAMPLE = /^[a-z_\d]+(?:\{(?:[a-z_]+="[^"\\\n]*",?)+\})? (?:-?\d[-+.\de]*|[+-]Inf|nan)$/i
  for (const line of lines) expect(line).toMatch(line.startsWith('#') ? /^# (HELP|TYPE) / : SAMPLE)
  const declared = lines.filter((line) => line.startsWith('# TYPE'))
  expect(new Set(declared).size).toBe(declared.length)
})
