import type { Outcome, Trigger } from './delivery.ts'
import { withJitter } from './schedule.ts'

/** What happens to the delivery next. Waits are durations: only the database knows what time it is. */
export type Settlement =
  | { readonly kind: 'final' }
  /** Another try. `spends` says what this one cost: a number and a step of the schedule, or nothing. */
  | { readonly kind: 'again'; readonly afterMs: number; readonly spends: boolean }
  /** A manual try of a delivery that was owed anyway: the schedule goes on where it stood. */
  | { readonly kind: 'resume' }

/** Until when whatever was refused has been stopped, about: from then on what is owed waits for a person. */
const HELD_MS = 60_000

interface Tried {
  readonly trigger: Trigger
  /** Waits of the schedule that are spent. */
  readonly step: number
  /** Whether the schedule had more to come when a manual try was asked for. */
  readonly isResumable: boolean
}

/**
 * Decides what a try's outcome does to its delivery.
 *
 * An interrupted try was our doing, so it costs the endpoint nothing: same number, soon again. A manual try stands outside
 * the schedule: it neither spends a step nor moves one. A test is one try.
 *
 * @param scheduleS waits in seconds after the first, second, … failure
 * @param dice 0 to 1
 */
export function settle(
  tried: Tried,
  outcome: Outcome,
  scheduleS: readonly number[],
  dice: number,
): Settlement {
  switch (outcome.kind) {
    case 'delivered':
    case 'gone':
    case 'blocked':
    case 'expired':
      return { kind: 'final' }
    case 'interrupted':
      return {
        kind: 'again',
        afterMs: outcome.waitMs === undefined ? 1000 * dice : withJitter(outcome.waitMs, dice),
        spends: false,
      }
    case 'failed':
    case 'throttled': {
      if (outcome.kind === 'failed' && outcome.consequence?.stops === 'delivery') {
        return { kind: 'final' }
      }
      if (tried.trigger === 'manual' || tried.trigger === 'test') {
        return tried.isResumable ? { kind: 'resume' } : { kind: 'final' }
      }
      const waitS = scheduleS[tried.step]
      if (waitS === undefined) {
        return isHeld(outcome)
          ? { kind: 'again', afterMs: withJitter(HELD_MS, dice), spends: false }
          : { kind: 'final' }
      }
      const askedMs = outcome.kind === 'throttled' ? (outcome.retryAfterMs ?? 0) : 0
      const afterMs = Math.max(withJitter(waitS * 1000, dice), askedMs)
      return { kind: 'again', afterMs, spends: true }
    }
  }
}

/** Whether the app refuses the subscription or the integration, and not what was sent: that is owed until somebody mends it. */
function isHeld(outcome: Outcome): boolean {
  if (outcome.kind !== 'failed') return false
  const stops = outcome.consequence?.stops
  return stops === 'subscription' || stops === 'integration'
}
