import { openPool } from '../db/pool.ts'
import { type Backlog, readBacklog } from '../delivery/backlog.ts'
import type { Log } from '../telemetry/log.ts'
import type { Exposed, Meter } from '../telemetry/meter.ts'
import type { Metrics, Reading } from '../telemetry/metrics.ts'

/** Whoever asks more often, and there may be several, is told the same: anybody may ask. */
const READ_EVERY_MS = 5000

/** What `/metrics` answers: what this process counted, and what is to be done, as the database says it. */
export interface Exposition {
  readonly meter: Meter
  readonly expose: () => Promise<Exposed>
  /** Until then, and when it does not answer in time, the first alone, with `patchbay_database_up` 0. */
  readonly readFrom: (databaseUrl: string, stack: AsyncDisposableStack) => void
}

export function makeExposition(metrics: Metrics, log: Log): Exposition {
  let read: () => Promise<Backlog | null> = () => Promise.resolve(null)
  return {
    meter: metrics,
    expose: async () => metrics.expose(toReadings(await read())),
    readFrom: (url, stack) => {
      // A connection of its own: it is asked most when all others are taken.
      const pool = openPool({
        url,
        max: 1,
        applicationName: 'patchbay metrics',
        settings: ['statement_timeout=5000'],
        onError: (error) => log.warn({ err: error }, 'database.connection_lost'),
      })
      stack.defer(() => pool.end())
      read = atMostEvery(READ_EVERY_MS, () =>
        readBacklog(pool).catch((error: unknown) => {
          log.warn({ err: error }, 'backlog.not_read')
          return null
        }),
      )
    },
  }
}

/** Who asks in between gets what was last asked for, also while it is under way. */
function atMostEvery<Found>(everyMs: number, ask: () => Promise<Found>): () => Promise<Found> {
  let last: { readonly found: Promise<Found>; readonly untilMs: number } | null = null
  return () => {
    if (last === null || performance.now() > last.untilMs) {
      last = { found: ask(), untilMs: performance.now() + everyMs }
    }
    return last.found
  }
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

function toReadings(backlog: Backlog | null): Reading[] {
  const database: Reading = {
    name: 'patchbay_database_up',
    help: 'Whether the database answered in time. What is read from it is missing while it does not.',
    values: [{ value: backlog === null ? 0 : 1 }],
  }
  if (backlog === null) return [database]
  const byState = (states: Readonly<Record<string, number>>) =>
    Object.entries(states).map(([state, value]) => ({ labels: { state }, value }))
  const { ready, inFlight, blocked, held, waiting } = backlog
  const { healthy, failing, circuitOpen, refused, disabled } = backlog
  return [
    database,
    {
      name: 'patchbay_events_pending',
      help: 'Events that are committed and not fanned out.',
      values: [{ value: backlog.pending }],
    },
    {
      name: 'patchbay_events_pending_age_seconds',
      help: 'How long the first of them has waited.',
      values: [{ value: backlog.pendingAgeS }],
    },
    {
      name: 'patchbay_deliveries_owed',
      help: 'Deliveries that have not ended, by state.',
      values: byState({ ready, in_flight: inFlight, waiting, held, blocked }),
    },
    {
      name: 'patchbay_owed_age_seconds',
      help: 'How long the first in line of a healthy lane has been ready, at most: whether there are enough workers.',
      values: [{ value: backlog.owedAgeS }],
    },
    {
      name: 'patchbay_subscriptions',
      help: 'Subscriptions, by state.',
      values: byState({ healthy, failing, circuit_open: circuitOpen, refused, disabled }),
    },
    {
      name: 'patchbay_integrations_disconnected',
      help: 'Integrations that their app has turned away.',
      values: [{ value: backlog.disconnected }],
    },
    {
      name: 'patchbay_queue_dead_rows',
      help: "Rows of the queue that are gone and not vacuumed, by Postgres's estimate.",
      values: [{ value: backlog.deadRows }],
    },
  ]
}
