import { setTimeout as sleep } from 'node:timers/promises'
import type { Log } from '../telemetry/log.ts'
import {
  type CountedWindow,
  isUsedUp,
  type Limit,
  openWindow,
  settle,
  spend,
  spendUnasked,
  toAsk,
  type Verdict,
  verdictOf,
} from './window.ts'

/** Takes one point of a key's window. Never throws for trouble of its own. */
export type Take = (key: string, limit: Limit) => Promise<Verdict>

interface LimiterDeps {
  /** Adds points to the window that all processes share; opens one where there is none. */
  readonly count: (
    key: string,
    points: number,
    windowMs: number,
  ) => Promise<{ readonly total: number; readonly resetMs: number }>
  readonly nowMs: () => number
  readonly log: Pick<Log, 'warn'>
  /** How long a request waits for the count before it goes on without. */
  readonly patienceMs?: number
  readonly maxWindows?: number
}

interface Entry {
  readonly window: CountedWindow
  /** One question at a time for a key; whoever comes meanwhile waits for its answer. */
  asking: Promise<boolean> | null
  waiting: number
}

const PATIENCE_MS = 1000
/** For so long nobody asks a count that did not answer. */
const AWAY_MS = 1000
const MAX_WINDOWS = 100_000

/**
 * Rate limits over all processes, at next to no cost for who is far from them: see `CountedWindow`.
 *
 * Open where the count cannot be had: a limit protects the service from too much, and a database in trouble must not turn
 * into refusals of everything. What is given meanwhile is counted as soon as it can be.
 */
export function makeLimiter(deps: LimiterDeps): Take {
  const { nowMs, patienceMs = PATIENCE_MS, maxWindows = MAX_WINDOWS } = deps
  const entries = new Map<string, Entry>()
  let awayUntilMs = 0

  function entryOf(key: string, limit: Limit): Entry {
    const now = nowMs()
    const known = entries.get(key)
    if (known !== undefined && known.window.endsAtMs > now) return known
    if (known === undefined && entries.size >= maxWindows) forget(now)
    const entry = { window: openWindow(limit, now), asking: null, waiting: 0 }
    entries.set(key, entry)
    return entry
  }

  /** Windows that are over; where that is not enough, a tenth of those that are known longest. */
  function forget(now: number): void {
    for (const [key, { window }] of entries) if (window.endsAtMs <= now) entries.delete(key)
    for (const key of entries.keys()) {
      if (entries.size <= maxWindows * 0.9) break
      entries.delete(key)
    }
  }

  /** Whether the count answered. Its answer is taken in whenever it comes, also when nobody waits for it any more. */
  async function ask(key: string, limit: Limit, entry: Entry): Promise<boolean> {
    const question = toAsk(entry.window, limit, entry.waiting)
    try {
      const points = question.debt + question.wanted
      const { total, resetMs } = await deps.count(key, points, limit.windowMs)
      settle(entry.window, limit, question, { total, endsAtMs: nowMs() + resetMs })
      return true
    } catch (error) {
      setAway(error)
      return false
    } finally {
      entry.asking = null
    }
  }

  function setAway(error: unknown): void {
    if (nowMs() >= awayUntilMs) deps.log.warn({ err: error }, 'limits.open')
    awayUntilMs = nowMs() + AWAY_MS
  }

  async function isAnswered(key: string, limit: Limit, entry: Entry): Promise<boolean> {
    if (nowMs() < awayUntilMs) return false
    const patience = new AbortController()
    try {
      entry.asking ??= ask(key, limit, entry)
      const late = sleep(patienceMs, 'late', { signal: patience.signal, ref: false }).catch(
        () => 'in time',
      )
      const answer = await Promise.race([entry.asking, late])
      if (answer === 'late') setAway(new Error(`no count within ${patienceMs} ms`))
      return answer === true
    } finally {
      patience.abort()
    }
  }

  async function takeWaiting(key: string, limit: Limit, entry: Entry): Promise<Verdict | null> {
    const { window } = entry
    entry.waiting += 1
    try {
      while (window.endsAtMs > nowMs()) {
        if (spend(window)) return verdictOf(window, limit, nowMs(), true)
        if (isUsedUp(window, limit)) return verdictOf(window, limit, nowMs(), false)
        if (await isAnswered(key, limit, entry)) continue
        spendUnasked(window)
        return verdictOf(window, limit, nowMs(), true)
      }
      return null
    } finally {
      entry.waiting -= 1
    }
  }

  return async (key, limit) => {
    for (;;) {
      const entry = entryOf(key, limit)
      const { window } = entry
      if (spend(window)) return verdictOf(window, limit, nowMs(), true)
      const verdict = await takeWaiting(key, limit, entry)
      if (verdict !== null) return verdict
      // The window ended while it waited: the next one knows.
    }
  }
}
