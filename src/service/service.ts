import { sql } from 'drizzle-orm'
import type { Config } from '../config.ts'
import { integrationProviders } from '../db/schema.ts'
import type { Log } from '../telemetry/log.ts'
import { makeApprovalWork } from './approval-work.ts'
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
  const listener = (await api?.listenWaiting(config, log, () => waiting.reason)) ?? null
  if (listener !== null) opening.use(listener)
  const anySignal = AbortSignal.any([signal, stopping.signal])
  const resources = await openResources(config, log, opening, anySignal, (reason) => {
    waiting.reason = reason
  })
  await syncProviders(resources)
  const features = makeFeatures(config, resources, log)
  const inbound = makeInbound(resources, features, log, stopping.signal)
  const approvalWork = makeApprovalWork(resources, features, inbound, log, stopping.signal)
  const works = { resources, features, inbound, approvalWork }
  if (api !== null) listener?.use((await api.makeApi(config, works, log)).fetch)
  const owned = opening.move()
  const worker = roles.isWorker
    ? runWorker(config, works, log, owned, stopping.signal)
    : Promise.resolve()
  return {
    url: listener?.url ?? null,
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
