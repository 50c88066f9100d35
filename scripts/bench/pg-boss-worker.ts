import pg from 'pg'
import { type Job, type JobResult, PgBoss } from 'pg-boss'
import { makeSign } from '../../src/security/signature.ts'
import { openClient } from './client.ts'
import { QUEUE, type WebhookJob } from './pg-boss-jobs.ts'

/**
 * The baseline, a process of its own: webhooks with pg-boss, a job for each delivery. Sends with the product's client and signs as
 * it does, and writes a row for each try into the product's log, with an insert for each batch. A job ends by its own result: one
 * endpoint that fails sends nobody else's webhook again. It knows no lanes, circuits, order or rates. Environment: DATABASE_URL,
 * RECEIVER_URL, SECRETS (signing secrets by path, JSON).
 */
const { DATABASE_URL = '', RECEIVER_URL = '', SECRETS = '{}' } = process.env
const secrets: Readonly<Record<string, string>> = JSON.parse(SECRETS)

/**
 * As many in flight as the product has. Of 32 × 16, 64 × 8, 128 × 4 and 256 × 2 the last takes the least processor time (226, 233,
 * 170 and 143 µs a job), though each batch then waits for the slowest of 256 answers.
 */
const BATCH = 256
const BATCHES_AT_ONCE = 2

await using client = openClient()
const lanes = new Map(
  Object.entries(secrets).map(([path, secret]) => [
    path,
    { target: client.targetOf(RECEIVER_URL + path), sign: makeSign([secret]) },
  ]),
)

const LOG = `
insert into patchbay.webhook_delivery_log
  (delivery_id, org_id, subscription_id, event_id, attempt, outcome, is_final, status_code, duration_ms, response_snippet, error, trigger)
select delivery_id, org_id, subscription_id, event_id, attempt, case when error is null then 'delivered' else 'failed' end,
  error is null, case when error is null then 200 end, duration_ms, snippet, error, 'schedule'
from unnest($1::uuid[], $2::text[], $3::uuid[], $4::uuid[], $5::int[], $6::int[], $7::text[], $8::text[])
  as t (delivery_id, org_id, subscription_id, event_id, attempt, duration_ms, snippet, error)`

const pool = new pg.Pool({ connectionString: DATABASE_URL, max: BATCHES_AT_ONCE })

async function post({ id, data }: Job<WebhookJob>): Promise<{ snippet?: string; error?: string }> {
  const lane = lanes.get(data.path)
  if (lane === undefined) return { error: `no lane is at ${data.path}` }
  try {
    return { snippet: await client.post(lane.target, lane.sign, { ...data, deliveryId: id }) }
  } catch (error) {
    return { error: String(error) }
  }
}

async function send(job: Job<WebhookJob>) {
  const startedAt = performance.now()
  const { snippet = null, error = null } = await post(job)
  return { job, snippet, error, durationMs: Math.round(performance.now() - startedAt) }
}

async function sendAll(jobs: readonly Job<WebhookJob>[]): Promise<JobResult[]> {
  const sent = await Promise.all(jobs.map(send))
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

const boss = new PgBoss({
  connectionString: DATABASE_URL,
  max: BATCHES_AT_ONCE * 2,
  useListenNotify: true,
})
boss.on('error', (error) => console.error(error))
await boss.start()
await boss.work<WebhookJob>(
  QUEUE,
  {
    batchSize: BATCH,
    localConcurrency: BATCHES_AT_ONCE,
    perJobResults: true,
    burstWhenBatchFull: true,
    pollingIntervalSeconds: 0.5,
    notifyPollingIntervalSeconds: 0.5,
  },
  sendAll,
)
await new Promise((stop) => {
  process.once('SIGTERM', stop)
  process.once('disconnect', stop)
})
await boss.stop({ graceful: true, timeout: 5000 })
await pool.end()
process.disconnect?.()
