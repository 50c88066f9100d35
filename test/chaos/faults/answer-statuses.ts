import { until } from '../../fixtures/process.ts'
import { audit } from '../audit.ts'
import type { Bench } from '../bench.ts'
import type { Fault } from '../fault.ts'
import { emitAtOnce } from '../load.ts'

const SCHEDULE_S = 3600
const DAY_S = 86_400

/** What comes after one try: the outcome, and how long until the next one. Null: there is none. */
interface Expectation {
  readonly query?: string
  readonly status: number
  readonly outcome: string
  readonly waitS: readonly [number, number] | null
}

const NEXT_BY_SCHEDULE = [SCHEDULE_S * 0.8, SCHEDULE_S * 1.2] as const
const again = (status: number): Expectation => {
  return { status, outcome: 'failed', waitS: NEXT_BY_SCHEDULE }
}
const asks = (status: number, retryAfter: string, waitS: Expectation['waitS']): Expectation => {
  return {
    status,
    outcome: 'throttled',
    waitS,
    query: `?retry-after=${encodeURIComponent(retryAfter)}`,
  }
}

const EXPECTATIONS: readonly Expectation[] = [
  { status: 201, outcome: 'delivered', waitS: null },
  { status: 204, outcome: 'delivered', waitS: null },
  { status: 299, outcome: 'delivered', waitS: null },
  ...[301, 302, 304, 307, 308, 400, 401, 403, 404, 408, 422, 500, 502, 503, 504, 599].map(again),
  { status: 410, outcome: 'gone', waitS: null },
  { status: 429, outcome: 'throttled', waitS: NEXT_BY_SCHEDULE },
  asks(429, '99999999', [DAY_S * 0.9, DAY_S + 1]),
  asks(503, '99999999', [DAY_S * 0.9, DAY_S + 1]),
  asks(429, '7200', [7100, 7200]),
  asks(429, '-5', NEXT_BY_SCHEDULE),
  asks(429, 'Thu, 01 Jan 1970 00:00:00 GMT', NEXT_BY_SCHEDULE),
  asks(429, 'Fri, 31 Dec 9999 23:59:59 GMT', [DAY_S * 0.9, DAY_S + 1]),
  asks(429, 'soon', NEXT_BY_SCHEDULE),
  asks(429, '1e9', NEXT_BY_SCHEDULE),
]

/** Every kind of status, and the times that receivers ask us to wait: nobody may park a delivery for years. */
export const answerStatuses: Fault = {
  id: 'F34+F35',
  name: 'every status, and Retry-After abused',
  run: async (bench) => {
    await bench.subscribe('/ok/healthy')
    const expected = new Map<string, Expectation>()
    for (const [n, expectation] of EXPECTATIONS.entries()) {
      const { status, query = '' } = expectation
      const url = `${bench.receiver.url}/status/${status}/n${n}${query}`
      expected.set(await bench.subscribe('', { url, retrySchedule: [SCHEDULE_S] }), expectation)
    }
    await bench.startWorker()
    await emitAtOnce(bench, 1)
    await until('each was tried', async () => {
      const { rows } = await bench.database.pool.query<{ count: number }>(
        'select count(distinct subscription_id)::int as count from patchbay.webhook_delivery_log',
      )
      return rows[0]?.count === EXPECTATIONS.length + 1
    })
    const problems = await statusProblems(bench, expected)
    return audit(bench, {
      endedAtMs: performance.now(),
      maxDuplicates: 0,
      problems,
      notes: [`${EXPECTATIONS.length} answers`],
    })
  },
}

async function statusProblems(
  { database }: Bench,
  expected: ReadonlyMap<string, Expectation>,
): Promise<string[]> {
  const { rows } = await database.pool.query<{
    subscription_id: string
    outcome: string
    wait_s: number | null
  }>(
    `select subscription_id, last_outcome as outcome,
       extract(epoch from next_attempt_at - now())::float8 as wait_s
     from patchbay.webhook_deliveries where subscription_id = any ($1::uuid[])`,
    [[...expected.keys()]],
  )
  const problems: string[] = []
  for (const [id, { status, query = '', outcome, waitS }] of expected) {
    const row = rows.find((one) => one.subscription_id === id)
    const wait = row?.wait_s ?? null
    const isInTime = waitS === null || wait === null ? wait === waitS : isBetween(wait, waitS)
    if (row?.outcome === outcome && isInTime) continue
    problems.push(`${status}${query}: ${row?.outcome}, next after ${wait} s`)
  }
  return problems
}

function isBetween(value: number, [least, most]: readonly [number, number]): boolean {
  return value >= least && value <= most
}
