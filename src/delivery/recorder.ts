import { setTimeout as sleep } from 'node:timers/promises'
import type { Log } from '../telemetry/log.ts'
import type { AttemptRecord } from './record.ts'
import { makeSignal } from './signal.ts'

const MAX_BATCH = 500
const MAX_RETRY_WAIT_MS = 2000

interface RecorderDeps {
  readonly record: (records: readonly AttemptRecord[]) => Promise<Set<string>>
  readonly log: Log
  /** How long an outcome waits for others to be written with it, and for how many: a statement costs as much as forty rows. */
  readonly flushMs: number
  readonly flushAt: number
  /** After this long a lease has run out and the delivery belongs to somebody else. */
  readonly giveUpMs: number
  readonly onRecorded: (records: readonly AttemptRecord[]) => void
}

/**
 * Outcomes on their way to the database. One statement at a time; what comes meanwhile goes with the next one.
 *
 *   waiting ─▶ being written ─▶ recorded, or lost (another claim holds the delivery: nothing changed)
 *
 * While the database is away the outcomes wait here, so our trouble never becomes the endpoint's failure. They are bounded:
 * what is unrecorded counts against the worker's concurrency.
 */
export function makeRecorder(deps: RecorderDeps) {
  let waiting: AttemptRecord[] = []
  let unrecorded = 0
  let writing: Promise<void> | null = null
  let enough = makeSignal()

  async function write(batch: readonly AttemptRecord[]): Promise<void> {
    const startedAt = performance.now()
    for (let waitMs = 50; ; waitMs = Math.min(waitMs * 2, MAX_RETRY_WAIT_MS)) {
      try {
        const recorded = await deps.record(batch)
        const lost = batch.filter((record) => !recorded.has(record.deliveryId))
        for (const record of lost) {
          deps.log.warn(
            { delivery_id: record.deliveryId, outcome: record.outcome },
            'delivery.lost',
          )
        }
        return
      } catch (error) {
        if (performance.now() - startedAt > deps.giveUpMs) {
          deps.log.error({ err: error, deliveries: batch.length }, 'delivery.record_abandoned')
          return
        }
        deps.log.warn({ err: error, deliveries: batch.length }, 'delivery.record_retried')
        await sleep(waitMs)
      }
    }
  }

  async function writeAll(): Promise<void> {
    while (waiting.length > 0) {
      enough = makeSignal()
      if (waiting.length < deps.flushAt) await enough.wait(deps.flushMs)
      const batch = waiting.slice(0, MAX_BATCH)
      waiting = waiting.slice(MAX_BATCH)
      await write(batch)
      unrecorded -= batch.length
      deps.onRecorded(batch)
    }
    writing = null
  }

  return {
    unrecorded: () => unrecorded,
    add: (record: AttemptRecord): void => {
      waiting.push(record)
      unrecorded += 1
      if (waiting.length === deps.flushAt) enough.set()
      writing ??= writeAll()
    },
    /** Resolves when everything that was added is written. */
    flush: async (): Promise<void> => {
      while (writing !== null) await writing
    },
  }
}
