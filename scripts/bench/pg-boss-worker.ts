import { setTimeout as sleep } from 'node:timers/promises'
import { type Job, type JobResult, PgBoss } from 'pg-boss'
import { type EventRecord, eventBody } from '../../src/core/event.ts'
import { openPool } from '../../src/db/pool.ts'
import { makeSign } from '../../src/security/signature.ts'
import { openClient } from './client.ts'

/**
 * The baseline, a process of its own: the same outbox, and one pg-boss job for each delivery. A relay takes what is pending and
 * inserts the jobs, thousands in a statement; workers take hundreds at a time, read their events by one statement, send with the
 * product's client and signatures, and write the product's log, a statement for each batch. A job ends by its own result: one
 * endpoint that fails sends nobody else's webhook again. It knows no lanes, circuits, order, rates or encryption.
 *
 * Not batched, each job reads its event and writes its row of the log by itself, as a handler is written that is given one job.
 *
 * Environment: DATABASE_URL, SECRETS (signing secrets by path, JSON), BATCHED (`on` or `off`). Tells the parent when it is ready.
 */
const { DATABASE_URL = '', SECRETS = '{}', BATCHED = 'on' } = process.env
const secrets: Readonly<Record<string, string>> = JSON.parse(SECRETS)

const QUEUE = 'delivery'
const RELAY_BATCH = 1000
/** As the product's poll. */
const POLL_MS = 250
/** What was fastest of what was tried, from 32 jobs × 16 to 512 × 2; each batch then waits for the slowest of 256 answers. */
const BATCH = 256
const BATCHES_AT_ONCE = 3

interface DeliveryJob {
  readonly eventId: string
  readonly orgId: string
  readonly subscriptionId: string
}

const TAKE = `
with taken as materialized (
  delete from patchbay.outbox_pending as p
  where p.event_id = any (array(
    select o.event_id from patchbay.outbox_pending as o order by o.event_id limit ${RELAY_BATCH}
  ))
  returning p.event_id
)
select e.id as "eventId", e.org_id as "orgId", w.subscription_id as "subscriptionId"
from taken
cross join lateral (
  select o.id, o.org_id, o.type from patchbay.outbox_events as o where o.id = taken.event_id offset 0
) as e
cross join lateral (
  select p.subscription_id
  from patchbay.subscription_patterns as p
  where p.org_id = e.org_id and p.pattern = any (patchbay.patterns_of(e.type))
  offset 0
) as w`

const EVENTS = `
select id, org_id as "orgId", type, conversation_id as "conversationId", data::text as data,
  to_char(occurred_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') as "occurredAt"
from patchbay.outbox_events
where id = any ($1::uuid[])`

const LOG = `
insert into patchbay.webhook_delivery_log
  (delivery_id, org_id, subscription_id, event_id, attempt, outcome, is_final, status_code, duration_ms, response_snippet, error, trigger)
select delivery_id, org_id, subscription_id, event_id, attempt, case when error is null then 'delivered' else 'failed' end,
  error is null, case when error is null then 200 end, duration_ms, snippet, error, 'schedule'
from unnest($1::uuid[], $2::text[], $3::uuid[], $4::uuid[], $5::int[], $6::int[], $7::text[], $8::text[])
  as t (delivery_id, org_id, subscription_id, event_id, attempt, duration_ms, snippet, error)`

await using client = openClient()
const pool = openPool({
  url: DATABASE_URL,
  max: BATCHED === 'on' ? BATCHES_AT_ONCE + 1 : 10,
  applicationName: 'bench baseline',
  settings: ['enable_seqscan=off'],
  onError: (error) => console.error(error),
})
const boss = new PgBoss({
  connectionString: DATABASE_URL,
  max: BATCHES_AT_ONCE + 2,
  useListenNotify: true,
})
boss.on('error', (error) => console.error(error))
await boss.start()
await boss.createQueue(QUEUE, { notify: true, partition: true })
const lanes = await openLanes()

async function openLanes() {
  const { rows } = await pool.query<{ id: string; url: string }>(
    'select id, url from patchbay.webhook_subscriptions',
  )
  return new Map(
    rows.map(({ id, url }) => [
      id,
      { target: client.targetOf(url), sign: makeSign([secrets[new URL(url).pathname] ?? '']) },
    ]),
  )
}

/** An event is pending, or all of its jobs are there. Returns whether there may be more. */
async function relay(): Promise<boolean> {
  const session = await pool.connect()
  const db = { executeSql: (text: string, values?: unknown[]) => session.query(text, values) }
  let isBroken = true
  try {
    await session.query('begin')
    const { rows } = await session.query<DeliveryJob>({ name: 'take', text: TAKE })
    const { rows: ids } = await session.query<{ id: string }>({
      name: 'ids',
      // In the order of time, as the product's are: indexes grow at their end.
      text: 'select patchbay.new_id() as id from generate_series(1, $1)',
      values: [rows.length],
    })
    const jobs = rows.map((data, i) => ({ ...ids[i], data }))
    if (jobs.length > 0) await boss.insert(QUEUE, jobs, { db })
    await session.query('commit')
    isBroken = false
    return jobs.length > 0
  } finally {
    session.release(isBroken)
  }
}

async function sendAll(jobs: readonly Job<DeliveryJob>[]): Promise<JobResult[]> {
  const { rows } = await pool.query<EventRecord>({
    name: 'events',
    text: EVENTS,
    values: [[...new Set(jobs.map(({ data }) => data.eventId))]],
  })
  const events = new Map(rows.map((event) => [event.id, event]))
  const sent = await Promise.all(jobs.map((job) => send(job, events.get(job.data.eventId))))
  await pool.query({
    name: 'log',
    text: LOG,
    values: [
      sent.map(({ job }) => job.id),
      sent.map(({ job }) => job.data.orgId),
      sent.map(({ job }) => job.data.subscriptionId),
      sent.map(({ job }) => job.data.eventId),
      sent.map(({ job }) => job.retryCount + 1),
      sent.map(({ durationMs }) => durationMs),
      sent.map(({ snippet }) => snippet),
      sent.map(({ error }) => error),
    ],
  })
  return sent.map(({ job, error }) => ({
    id: job.id,
    status: error === null ? 'completed' : 'failed',
  }))
}

async function sendEach(jobs: readonly Job<DeliveryJob>[]): Promise<JobResult[]> {
  const results = await Promise.all(jobs.map((job) => sendAll([job])))
  return results.flat()
}

async function send(job: Job<DeliveryJob>, event: EventRecord | undefined) {
  const startedAt = performance.now()
  const { snippet = null, error = null } = await post(job, event)
  return { job, snippet, error, durationMs: Math.round(performance.now() - startedAt) }
}

async function post(
  { id, data }: Job<DeliveryJob>,
  event: EventRecord | undefined,
): Promise<{ snippet?: string; error?: string }> {
  const lane = lanes.get(data.subscriptionId)
  if (lane === undefined || event === undefined) return { error: 'there is no such lane or event' }
  const webhook = { eventId: event.id, deliveryId: id, type: event.type, body: eventBody(event) }
  try {
    return { snippet: await client.post(lane.target, lane.sign, webhook) }
  } catch (error) {
    return { error: String(error) }
  }
}

await boss.work<DeliveryJob>(
  QUEUE,
  {
    batchSize: BATCH,
    localConcurrency: BATCHES_AT_ONCE,
    perJobResults: true,
    burstWhenBatchFull: true,
    pollingIntervalSeconds: 0.5,
    notifyPollingIntervalSeconds: 0.5,
  },
  BATCHED === 'on' ? sendAll : sendEach,
)
const stopping = new AbortController()
process.once('SIGTERM', () => stopping.abort())
process.once('disconnect', () => stopping.abort())
process.send?.('ready')
while (!stopping.signal.aborted) {
  if (!(await relay())) {
    await sleep(POLL_MS, undefined, { signal: stopping.signal }).catch(() => undefined)
  }
}
await boss.stop({ graceful: true, timeout: 5000 })
await pool.end()
process.disconnect?.()
