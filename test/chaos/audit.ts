import { until } from '../fixtures/process.ts'
import type { Bench, Subscription } from './bench.ts'
import { compare } from './compare.ts'
import type { Report } from './fault.ts'
import type { Received } from './processes/receiver.ts'

interface AuditOptions {
  /** When the fault ended, on `performance.now()`. */
  readonly endedAtMs: number
  /** Copies beyond the first that the fault explains, over all subscriptions. */
  readonly maxDuplicates: number
  readonly timeoutMs?: number
  readonly problems?: readonly string[]
  readonly notes?: readonly string[]
  /** Log lines of severity error that this fault is meant to cause. */
  readonly expectedErrors?: readonly string[]
}

const FINAL_MS = 120_000

/** Waits until all that was owed is final, then holds both ledgers and the database against each other. */
export async function audit(bench: Bench, options: AuditOptions): Promise<Report> {
  const problems = [...(options.problems ?? [])]
  const ids = bench.subscriptions.map((subscription) => subscription.id)
  try {
    await until('all is final', () => isFinal(bench, ids), options.timeoutMs ?? FINAL_MS)
  } catch (error) {
    problems.push(
      `${error instanceof Error ? error.message : error}; ${await describeQueue(bench)}`,
    )
  }
  const recoveryMs = Math.max(0, performance.now() - options.endedAtMs)
  const produced = await bench.readProduced()
  const received = await bench.receiver.read()
  const total = { emitted: 0, delivered: 0, lost: 0, duplicates: 0 }
  for (const subscription of bench.subscriptions) {
    const compared = compare(produced, received, subscription)
    problems.push(...compared.problems)
    problems.push(...(await recordProblems(bench, subscription, received)))
    total.emitted += compared.emitted
    total.delivered += compared.delivered
    total.lost += compared.lost
    total.duplicates += compared.duplicates
  }
  if (total.duplicates > options.maxDuplicates) {
    problems.push(`${total.duplicates} duplicates, at most ${options.maxDuplicates} are explained`)
  }
  if (total.emitted === 0) problems.push('nothing was emitted')
  problems.push(...logProblems(bench, options.expectedErrors ?? []))
  const { maxDuplicates, notes = [] } = options
  return { ...total, maxDuplicates, recoveryMs, problems, notes }
}

/** Whether nothing is pending and nothing is owed to these subscriptions. A database that is away has not answered yet. */
export async function isFinal(bench: Bench, subscriptionIds: readonly string[]): Promise<boolean> {
  try {
    const { rows } = await bench.database.pool.query<{ ok: boolean }>(
      `select not exists (select from patchbay.outbox_pending)
         and not exists (select from patchbay.delivery_queue where subscription_id = any ($1::uuid[])) as ok`,
      [subscriptionIds],
    )
    return rows[0]?.ok === true
  } catch {
    return false
  }
}

async function describeQueue({ database }: Bench): Promise<string> {
  const { rows } = await database.pool.query<{ state: string; count: string }>(
    `select state, count(*) from patchbay.webhook_deliveries where status = 'owed' group by state`,
  )
  return rows.map(({ state, count }) => `${count} ${state}`).join(', ') || 'the queue is empty'
}

/** The database's own word: everything that is recorded as emitted arrived, is recorded as delivered, each copy as a try. */
async function recordProblems(
  { database }: Bench,
  { id, orgId, path }: Subscription,
  received: readonly Received[],
): Promise<string[]> {
  const copies = new Map<string, number>()
  for (const copy of received) {
    if (copy.path === path) copies.set(copy.id, (copies.get(copy.id) ?? 0) + 1)
  }
  // After a flood nobody else has told the planner what there is.
  await database.pool.query('analyze patchbay.outbox_events, patchbay.webhook_delivery_log')
  const { rows } = await database.pool.query<{ event_id: string; ends: number; tries: number }>(
    `select e.id as event_id, coalesce(l.ends, 0)::int as ends, coalesce(l.tries, 0)::int as tries
     from patchbay.outbox_events as e
     left join (
       select event_id, count(*) filter (where is_final) as ends, count(*) as tries
       from patchbay.webhook_delivery_log where subscription_id = $1 group by 1
     ) as l on l.event_id = e.id
     where e.org_id = $2 and e.type like 'chaos.%'`,
    [id, orgId],
  )
  const { rows: statuses } = await database.pool.query<{ status: string; count: number }>(
    `select status, count(*)::int as count from patchbay.webhook_deliveries
     where subscription_id = $1 group by 1`,
    [id],
  )
  const count = (what: string, isWrong: (row: (typeof rows)[number]) => boolean) => {
    const wrong = rows.filter(isWrong)
    return wrong.length === 0 ? [] : [`${wrong.length} ${what}, ${wrong[0]?.event_id} for one`]
  }
  return [
    ...count('are recorded as emitted and never arrived', (row) => !copies.has(row.event_id)),
    ...statuses
      .filter(({ status }) => status !== 'delivered')
      .map(({ status, count: some }) => `${some} are recorded as ${status}`),
    ...count('have not exactly one end', (row) => row.ends !== 1),
    ...count('arrived more often than the log explains', (row) => {
      return (copies.get(row.event_id) ?? 0) > row.tries
    }),
  ]
}

const ERROR_LINE = /"level":("error"|"fatal"|50|60)/

/** A log line of severity error is a bug or lost work; so is a stack on stderr. */
function logProblems({ processes }: Bench, expected: readonly string[]): string[] {
  const lines = processes.flatMap((process) => process.output().split('\n'))
  const wrong = lines.filter((line) => {
    const isError = ERROR_LINE.test(line) || (line !== '' && !line.startsWith('{'))
    return isError && !expected.some((text) => line.includes(text))
  })
  if (wrong.length === 0) return []
  return [`${wrong.length} error lines in the logs, first: ${wrong[0]?.slice(0, 400)}`]
}
