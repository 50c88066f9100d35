import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client'
import type { Exposed, Meter } from './meter.ts'

/** A gauge as it was read, one value for each set of labels. */
export interface Reading {
  readonly name: `patchbay_${string}`
  readonly help: string
  readonly values: readonly {
    readonly labels?: Readonly<Record<string, string>>
    readonly value: number
  }[]
}

export interface Metrics extends Meter {
  /** What this process counted, and what was read now. */
  readonly expose: (readings: readonly Reading[]) => Promise<Exposed>
}

/** Seconds. A tool may take a minute, a try to deliver half of one. */
const BUCKETS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60]

/**
 * That would mislead: the lag is measured anew from each read on, so that of two who ask each takes it from the other, and
 * of collections that come together one is counted.
 */
const MISLEADING = /^nodejs_(?:eventloop_lag|gc_duration)/

/**
 * The metrics of one process, in the text format of Prometheus: its own, and under their usual names those of Node
 * (`process_…`, `nodejs_…`). [Prometheus exposition formats, text 0.0.4]
 */
export function makeMetrics(version: string): Metrics {
  const registry = new Registry()
  collectDefaultMetrics({ register: registry })
  for (const { name } of registry.getMetricsAsArray()) {
    if (MISLEADING.test(name)) registry.removeSingleMetric(name)
  }
  const registers = [registry]
  new Counter({
    name: 'patchbay_thread_busy_seconds_total',
    help: 'How long the thread that does the work was busy.',
    registers,
    collect() {
      this.reset()
      this.inc(performance.eventLoopUtilization().active / 1000)
    },
  })
  const histogram = <Label extends string>(
    name: string,
    help: string,
    labelNames: readonly Label[],
  ) =>
    new Histogram({
      name: `patchbay_${name}_duration_seconds`,
      help,
      labelNames: [...labelNames],
      buckets: BUCKETS,
      registers,
    })
  new Gauge({
    name: 'patchbay_build_info',
    help: 'The version that runs.',
    labelNames: ['version'],
    registers,
  }).set({ version }, 1)
  const requests = histogram('http_request', 'Requests that this process answered.', [
    'method',
    'route',
    'status',
  ])
  const attempts = histogram('delivery_attempt', 'Tries to deliver that this process ended.', [
    'outcome',
  ])
  const runs = histogram('tool_run', 'Tools that this process ran.', ['outcome'])

  return {
    requestAnswered: ({ method, route, status }, durationMs) => {
      requests.observe({ method, route, status: String(status) }, durationMs / 1000)
    },
    attempted: (outcome, durationMs) => attempts.observe({ outcome }, durationMs / 1000),
    toolRan: (outcome, durationMs) => runs.observe({ outcome }, durationMs / 1000),
    expose: async (readings) => {
      const read = new Registry()
      for (const { name, help, values } of readings) {
        const labelNames = Object.keys(values[0]?.labels ?? {})
        const gauge = new Gauge({ name, help, labelNames, registers: [read] })
        for (const { labels = {}, value } of values) gauge.set(labels, value)
      }
      const text = (await registry.metrics()) + (await read.metrics())
      return { contentType: registry.contentType, text }
    },
  }
}
