import type { ClaimedRow } from './claim.ts'
import type { LaneRow } from './lane-row.ts'

/** What a try needs to know of its subscription, secrets opened and URL parsed once. */
export interface Lane<Config> {
  readonly subscriptionRevision: number
  readonly integrationRevision: number
  /** When it must be opened again because a secret expires. Unix ms. */
  readonly staleAtMs: number
  readonly config: Config
}

export interface LanesDeps<Config> {
  readonly load: (ids: readonly string[]) => Promise<LaneRow[]>
  readonly open: (row: LaneRow, nowMs: number) => Promise<{ config: Config; staleAtMs: number }>
  /** Trouble that passes: the database, or who keeps the master key, cannot be reached. */
  readonly isPassing: (error: unknown) => boolean
  /** A subscription that cannot be opened: a key that is missing, say. */
  readonly onBroken: (subscriptionId: string, error: unknown) => void
  readonly nowMs: () => number
  readonly maxLanes: number
}

/** Lanes by subscription id. One that is in neither cannot be opened until somebody mends it. */
export interface OpenedLanes<Config> {
  readonly open: ReadonlyMap<string, Config>
  /** Could not be opened now, for no fault of its own. */
  readonly waiting: ReadonlySet<string>
}

/**
 * Opened subscriptions, kept while their revisions hold. A claim carries the current revisions, so a change is seen by
 * the next claim, whichever process made it.
 */
export function makeLanes<Config>(deps: LanesDeps<Config>) {
  const cache = new Map<string, Lane<Config>>()

  const isFresh = (row: ClaimedRow): boolean => {
    const lane = cache.get(row.subscription_id)
    return (
      lane !== undefined &&
      lane.subscriptionRevision === row.subscription_revision &&
      lane.integrationRevision === row.integration_revision &&
      lane.staleAtMs > deps.nowMs()
    )
  }

  return async function lanesOf(rows: readonly ClaimedRow[]): Promise<OpenedLanes<Config>> {
    const waiting = new Set<string>()
    const stale = new Set<string>()
    for (const row of rows) if (!isFresh(row)) stale.add(row.subscription_id)
    if (stale.size > 0) {
      const loaded = await deps.load([...stale])
      const nowMs = deps.nowMs()
      await Promise.all(
        loaded.map(async (row) => {
          try {
            const opened = await deps.open(row, nowMs)
            cache.set(row.subscription_id, {
              subscriptionRevision: row.subscription_revision,
              integrationRevision: row.integration_revision,
              ...opened,
            })
          } catch (error) {
            cache.delete(row.subscription_id)
            if (deps.isPassing(error)) waiting.add(row.subscription_id)
            else deps.onBroken(row.subscription_id, error)
          }
        }),
      )
    }
    const open = new Map<string, Config>()
    for (const { subscription_id } of rows) {
      const lane = cache.get(subscription_id)
      if (lane !== undefined) open.set(subscription_id, lane.config)
    }
    for (const id of cache.keys()) {
      if (cache.size <= deps.maxLanes) break
      cache.delete(id)
    }
    return { open, waiting }
  }
}
