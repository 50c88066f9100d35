import { sql } from 'drizzle-orm'
import packageJson from '../../package.json' with { type: 'json' }
import type { Config } from '../config.ts'
import { integrationProviders } from '../db/schema.ts'
import { listen } from '../http/listen.ts'
import type { Log } from '../telemetry/log.ts'
import { NO_METER } from '../telemetry/meter.ts'
import { makeApprovalWork } from './approval-work.ts'
import { answerScrapes, type Exposition, makeExposition } from './exposition.ts'
import { makeFeatures } from './features.ts'
import { makeInbound } from './inbound.ts'
import { openResources, type Resources } from './resources.ts'
import { runWorker } from './worker.ts'

export interface Roles {
  readonly isApi: boolean
  readonly isWorker: boolean
}

export interface Service extends AsyncDisposable {
  /** Of the API; null for a worker alone. */
  readonly url: string | null
  /** Where the metrics are, if on a port of their own. */
  readonly metricsUrl: string | null
  readonly databaseUrl: string
  /** Rejects when the worker breaks for good. */
  readonly worker: Promise<void>
}

/**
 * One process of Patchbay: resources, then features, then HTTP and worker. Disposing it stops in the opposite order: no new
 * requests and claims, what is in flight ends or is interrupted, outcomes are written, connections close, the embedded
 * database stops last.
 */
export async function openService(
  config: Config,
  roles: Roles,
  log: Log,
  signal: AbortSignal = new AbortController().signal,
): Promise<Service> {
  await using opening = new AsyncDisposableStack()
  const stopping = new AbortController()
  const waiting = { reason: 'the database is being opened' }
  // Not even read where there is none: its routes and their schemas are 25 MB.
  const api = roles.isApi ? await import('./api.ts') : null
  const exposition = await openExposition(config, roles, log)
  const listener =
    api === null || exposition === null
      ? null
      : await api.listenWaiting(config, exposition, log, () => waiting.reason)
  if (listener !== null) opening.use(listener)
  const scrapes =
    exposition === null || config.METRICS_PORT === undefined
      ? null
      : await listen(config.HOST, config.METRICS_PORT, answerScrapes(exposition), {
          log,
          setting: 'METRICS_PORT',
          maxConnections: MOST_SCRAPES,
        })
  if (scrapes !== null) opening.use(scrapes)
  const anySignal = AbortSignal.any([signal, stopping.signal])
  const around = {
    log,
    meter: exposition?.meter ?? NO_METER,
    onWaiting: (reason: string) => {
      waiting.reason = reason
    },
    onDatabase: (url: string) => exposition?.readFrom(url, opening),
  }
  const resources = await openResources(config, around, opening, anySignal)
  await syncProviders(resources)
  const features = makeFeatures(config, resources, log)
  const inbound = makeInbound(resources, features, log, stopping.signal)
  const approvalWork = makeApprovalWork(resources, features, inbound, log, stopping.signal)
  const works = { resources, features, inbound, approvalWork }
  if (api !== null && exposition !== null) {
    listener?.use((await api.makeApi(config, works, exposition, log)).fetch)
  }
  const owned = opening.move()
  const worker = roles.isWorker
    ? runWorker(config, works, log, owned, stopping.signal)
    : Promise.resolve()
  return {
    url: listener?.url ?? null,
    metricsUrl: scrapes === null ? null : `${scrapes.url}/metrics`,
    databaseUrl: resources.databaseUrl,
    worker,
    [Symbol.asyncDispose]: async () => {
      stopping.abort()
      // Before what it stands on, although it was opened first.
      await listener?.[Symbol.asyncDispose]()
      await Promise.allSettled([worker])
      await approvalWork.settled()
      await owned.disposeAsync()
    },
  }
}

/** Of connections at a time. */
const MOST_SCRAPES = 100

/** null: nobody can ask this process for metrics, so it counts nothing and does not load what would. */
async function openExposition(config: Config, roles: Roles, log: Log): Promise<Exposition | null> {
  if (!roles.isApi && config.METRICS_PORT === undefined) return null
  const { makeMetrics } = await import('../telemetry/metrics.ts')
  return makeExposition({
    metrics: makeMetrics(packageJson.version),
    log,
    nowMs: () => performance.now(),
    patienceMs: 5000,
  })
}

/** The catalogue as rows, for people with SQL. */
async function syncProviders({ db, registry }: Resources): Promise<void> {
  for (const { manifest } of registry.all) {
    const { key, name, description } = manifest
    const row = { key, name, description, manifest }
    await db
      .insert(integrationProviders)
      .values(row)
      .onConflictDoUpdate({
        target: integrationProviders.key,
        set: { ...row, syncedAt: sql`now()` },
        setWhere: sql`${integrationProviders.manifest} is distinct from ${JSON.stringify(manifest)}::jsonb`,
      })
  }
}
