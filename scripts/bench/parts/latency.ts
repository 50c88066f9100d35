import type { Times } from '../children/host.ts'
import { openHost } from '../host.ts'
import type { Part, Result, Stage } from '../part.ts'
import { median, quantile } from '../quantile.ts'
import { middle } from '../report.ts'
import { startProduct } from '../workers.ts'

const PER_SECOND = 200
const QUANTILES = [0.5, 0.99] as const

/**
 * From a host's commit to its webhook: at 200 events a second, in turns with a control that commits and then POSTs by itself;
 * and of single events on an idle system. The control's time has its commit in it, so the product's has it too.
 */
export const latencyPart: Part = {
  name: 'latency',
  isOnce: true,
  measure: async (stage: Stage): Promise<Result[]> => {
    const { turns, seconds, singles } = stage.isQuick
      ? { turns: 1, seconds: 1, singles: 3 }
      : { turns: 16, seconds: 2, singles: 20 }
    await using stack = new AsyncDisposableStack()
    const host = await openHost(stage, stack, 'latency')
    stack.use(await startProduct('worker', stage, host.database))
    const order = { count: PER_SECOND * seconds, gapMs: 1000 / PER_SECOND, isRandom: false }
    await host.run({ ...order, by: 'emit', count: PER_SECOND / 2 })
    await host.run({ ...order, by: 'control', count: PER_SECOND / 2 })
    const pairs: { readonly own: Times; readonly control: Times }[] = []
    for (let turn = 0; turn < turns; turn += 1) {
      const before = turn % 2 === 0 ? await host.run({ ...order, by: 'control' }) : null
      const own = await host.run({ ...order, by: 'emit' })
      const control = before ?? (await host.run({ ...order, by: 'control' }))
      pairs.push({ own, control })
    }
    const missing = pairs.reduce((all, { own, control }) => all + own.missing + control.missing, 0)
    const single = await host.run({ by: 'emit', count: singles, gapMs: 400, isRandom: true })
    return [
      ...QUANTILES.map((at): Result => {
        const name = `p${at * 100}`
        const of = (pick: (pair: (typeof pairs)[number]) => readonly number[]) =>
          median(pairs.map((pair) => quantile(pick(pair), at))).toFixed(1)
        return {
          name: `latency_${name}_to_control`,
          title: `commit → received at ${PER_SECOND} events/s, ${name} ÷ control's`,
          value: middle(
            pairs.map(
              ({ own, control }) => quantile(own.fromCommit, at) / quantile(control.fromCommit, at),
            ),
          ),
          unit: '',
          goal: 5,
          bound: 'at most',
          detail:
            `${of(({ own }) => own.fromCommit)} and ${of(({ control }) => control.fromCommit)} ms; ` +
            `without the commit ${of(({ own }) => own.fromReturn)} and ${of(({ control }) => control.fromReturn)} ms` +
            (missing === 0 ? '' : `; ${missing} did not arrive`),
        }
      }),
      {
        name: 'idle_single',
        title: 'commit → received, a single event on an idle system',
        value: median(single.fromCommit),
        unit: 'ms',
        goal: 30,
        bound: 'at most',
        detail: `median of ${singles}; p95 ${quantile(single.fromCommit, 0.95).toFixed(1)} ms`,
      },
    ]
  },
}
