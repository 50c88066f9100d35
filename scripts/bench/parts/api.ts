import { adminHeaders, type Client, openClient } from '../api-client.ts'
import { ORG } from '../body.ts'
import { openDatabase } from '../databases.ts'
import { BIG_ORG, fillHistory, NARROW_ORG, subscriptionsOf } from '../history-rows.ts'
import type { Part, Result, Stage } from '../part.ts'
import { quantile } from '../quantile.ts'
import { startProduct } from '../workers.ts'

const FEW = 10_000

/** What an admin asks, of orgs with many rows and with few; small and large in turns. */
export const apiPart: Part = {
  name: 'api',
  isOnce: true,
  measure: async (stage: Stage): Promise<Result[]> => {
    const { many, times } = stage.isQuick
      ? { many: 50_000, times: 3 }
      : { many: 10_000_000, times: 60 }
    await using stack = new AsyncDisposableStack()
    const small = await openHistory(stage, stack, FEW)
    const large = await openHistory(stage, stack, many)
    const taken = new Map<string, { small: number[]; large: number[] }>()
    for (let turn = -3; turn < times; turn += 1) {
      for (const [name, ask] of small.asks) {
        const smallMs = await timeOf(() => ask(small.client))
        const largeMs = await timeOf(() => large.asks.get(name)?.(large.client))
        if (turn < 0) continue
        const some = taken.get(name) ?? { small: [], large: [] }
        taken.set(name, some)
        some.small.push(smallMs)
        some.large.push(largeMs)
      }
      stage.signal.throwIfAborted()
    }
    const all = [...taken.values()]
    const p99 = (of: 'small' | 'large') =>
      quantile(
        all.flatMap((some) => some[of]),
        0.99,
      )
    const slowest = [...taken]
      .map(([name, some]) => ({ name, p50: quantile(some.large, 0.5) }))
      .sort((a, b) => b.p50 - a.p50)[0]
    return [
      {
        name: 'api_deliveries_p99',
        title: `GET deliveries, p99: ${many.toLocaleString('en')} rows ÷ ${FEW.toLocaleString('en')}`,
        value: p99('large') / p99('small'),
        unit: '',
        goal: 2,
        bound: 'at most',
        detail:
          `${p99('large').toFixed(1)} and ${p99('small').toFixed(1)} ms; ` +
          `slowest ${slowest?.name}, p50 ${slowest?.p50.toFixed(1)} ms`,
      },
    ]
  },
}

type Ask = (client: Client) => Promise<unknown>

async function openHistory(stage: Stage, stack: AsyncDisposableStack, rows: number) {
  const database = stack.use(await openDatabase(stage, 'api'))
  const startedAt = performance.now()
  await fillHistory(database.pool, rows)
  stage.say(`${rows} rows in ${((performance.now() - startedAt) / 1000).toFixed(0)} s`)
  const headers = await adminHeaders(database, [BIG_ORG, ORG, NARROW_ORG])
  const api = stack.use(await startProduct('api', stage, database))
  const client = stack.use(openClient(api.url ?? '', headers))
  const asks = new Map<string, Ask>()
  for (const orgId of [BIG_ORG, ORG, NARROW_ORG]) {
    const path = `/orgs/${orgId}/deliveries?limit=50`
    const ids = await subscriptionsOf(database.pool, orgId)
    const { nextCursor } = JSON.parse(await client.send('GET', path))
    for (const [name, query] of [
      ['all', ''],
      ['the second page', `&cursor=${nextCursor}`],
      ['failed ones', '&status=failed'],
      ['of one subscription', `&webhookId=${ids[0]}`],
      ['failed ones of one subscription', `&webhookId=${ids[0]}&status=failed`],
      ['of a subscription that has been quiet for days', `&webhookId=${ids.at(-1)}`],
    ] as const) {
      asks.set(`${name} (${orgId})`, (own) => own.send('GET', path + query))
    }
  }
  return { client, asks }
}

async function timeOf(work: () => Promise<unknown> | undefined): Promise<number> {
  const startedAt = performance.now()
  await work()
  return performance.now() - startedAt
}
