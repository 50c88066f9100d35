import type { Pool } from 'pg'
import { openPool } from '../db/pool.ts'
import { type Backlog, type Delay, readBacklog, readDelay } from '../delivery/backlog.ts'
import type { Log } from '../telemetry/log.ts'
import type { Exposed, Meter } from '../telemetry/meter.ts'
import type { Metrics, Reading } from '../telemetry/metrics.ts'
import { atMostEvery } from './at-most-every.ts'

/** Whoever asks more often, and there may be several, is told the same: anybody may ask. */
const READ_EVERY_MS = 5000
const RENDER_EVERY_MS = 1000

/** What `/metrics` answers: what this process counted, and what is to be done, as the database says it. */
export interface Exposition {
  readonly meter: Meter
  readonly expose: () => Promise<Exposed>
  /**
   * Until then, and when it does not answer in time, `patchbay_database_up` is 0, and what would be read is missing. When the
   * process stops, both are.
   */
  readonly readFrom: (databaseUrl: string, stack: AsyncDisposableStack) => void
}

interface ExpositionDeps {
  readonly metrics: Metrics
  readonly log: Log
  readonly nowMs: () => number
  /** How long the database is waited for. */
  readonly patienceMs: number
}

export function makeExposition({ metrics, log, nowMs, patienceMs }: ExpositionDeps): Exposition {
  let read = (): Promise<Reading[]> => Promise.resolve([toDatabase(false)])
  return {
    meter: metrics,
    expose: atMostEvery(RENDER_EVERY_MS, nowMs, async () => metrics.expose(await read())),
    readFrom: (url, stack) => {
      // A connection of its own: it is asked most when all others are taken. Who answers nothing any more is not waited for.
      const pool = openPool({
        url,
        max: 1,
        applicationName: 'patchbay metrics',
        settings: [`statement_timeout=${patienceMs}`],
        queryTimeoutMs: patienceMs,
        onError: (error) => log.warn({ err: error }, 'database.connection_lost'),
      })
      stack.defer(async () => {
        read = () => Promise.resolve([])
        await pool.end()
      })
      read = atMostEvery(READ_EVERY_MS, nowMs, () => readAll(pool, log))
    },
  }
}

/** Where so much is owed that counting takes too long, the counts alone are missing. */
async function readAll(pool: Pool, log: Log): Promise<Reading[]> {
  const orNull = <Found>(found: Promise<Found>): Promise<Found | null> =>
    found.catch((error: unknown) => {
      log.warn({ err: error }, 'backlog.not_read')
      return null
    })
  const delay = await orNull(readDelay(pool))
  if (delay === null) return [toDatabase(false)]
  const backlog = await orNull(readBacklog(pool))
  return [toDatabase(true), ...toDelays(delay), ...(backlog === null ? [] : toCounts(backlog))]
}

/** For a port where there is nothing else. */
export function answerScrapes({ expose }: Exposition) {
  return async (request: Request): Promise<Response> => {
    const { pathname } = new URL(request.url)
    if (pathname === '/healthz') return Response.json({ status: 'alive' })
    if (pathname !== '/metrics')
      return new Response('Ask for /metrics or /healthz.\n', { status: 404 })
    const { contentType, text } = await expose()
    return new Response(text, { headers: { 'content-type': contentType } })
  }
}

const toDatabase = (isUp: boolean): Reading => ({
  name: 'patchbay_database_up',
  help: 'Whether the database answered in time. What is read from it is missing while it does not.',
  values: [{ value: Number(isUp) }],
})

const toDelays = ({ pendingAgeS, owedAgeS, deadRows }: Delay): Reading[] => [
  {
    name: 'patchbay_events_pending_age_seconds',
    help: 'How long the first event has waited that is not fanned out.',
    values: [{ value: pendingAgeS }],
  },
  {
    name: 'patchbay_owed_age_seconds',
    help: 'How long the first in line of a healthy lane has been ready, at most: whether there are enough workers.',
    values: [{ value: owedAgeS }],
  },
  {
    name: 'patchbay_queue_dead_rows',
    help: "Rows of the queue that are gone and not vacuumed, by Postgres's estimate.",
    values: [{ value: deadRows }],
  },
]

function toCounts(backlog: Backlog): Reading[] {
  const { ready, inFlight, blocked, held, waiting } = backlog
  const { healthy, failing, circuitOpen, refused, disabled } = backlog
  return [
    {
      name: 'patchbay_events_pending',
      help: 'Events that are committed and not fanned out.',
      values: [{ value: backlog.pending }],
    },
    {
      name: 'patchbay_deliveries_owed',
      help: 'Deliveries that have not ended, by state.',
      values: byState({ ready, in_flight: inFlight, waiting, held, blocked }),
    },
    {
      name: 'patchbay_subscriptions',
      help: 'Subscriptions, by state.',
      values: byState({ healthy, failing, circuit_open: circuitOpen, refused, disabled }),
    },
    {
      name: 'patchbay_integrations_refused',
      help: 'Integrations that their app has turned away.',
      values: [{ value: backlog.refusedIntegrations }],
    },
  ]
}

const byState = (states: Readonly<Record<string, number>>) =>
  Object.entries(states).map(([state, value]) => ({ labels: { state }, value }))
