import { makeSignal } from './signal.ts'

const AFTER_ERROR_MS = 1000
/** After a step that found something the next look is so soon, and then each after twice as long: who forgets to wake us waits less. */
const SOON_MS = 10

/** What a step came to: it did something and there is more to do, it did something, or there was nothing. */
export type Found = 'more' | 'some' | 'nothing'

interface LoopOptions {
  readonly step: () => Promise<Found>
  /** How long it rests at most when nobody wakes it. */
  readonly pollMs: number
  readonly onRest: () => void
  readonly onError: (error: unknown) => void
}

/** Does a step again and again while there is more to do; then rests until it is woken, or looks by itself. */
export function makeLoop({ step, pollMs, onRest, onError }: LoopOptions) {
  const woken = makeSignal()
  let wakes = 0
  let isResting = false

  async function work(signal: AbortSignal): Promise<Found> {
    isResting = false
    let seen: number
    let found: Found
    do {
      seen = wakes
      found = await step()
    } while (found === 'more' && !signal.aborted)
    // Who woke it during the last step wants another look.
    if (found === 'nothing' && seen === wakes) {
      isResting = true
      onRest()
    }
    return found
  }

  return {
    wake: (): void => {
      wakes += 1
      isResting = false
      woken.set()
    },

    /** It has found nothing since it was woken. */
    isResting: (): boolean => isResting,

    /** Until the signal, and the end of the step that it is in. Never rejects: what breaks is tried again. */
    async run(signal: AbortSignal): Promise<void> {
      signal.addEventListener('abort', woken.set)
      let restMs = pollMs
      while (!signal.aborted) {
        try {
          const found = await work(signal)
          restMs = Math.min(pollMs, found === 'some' ? SOON_MS : restMs * 2)
        } catch (error) {
          onError(error)
          await woken.wait(AFTER_ERROR_MS)
        }
        await woken.wait(restMs)
      }
      signal.removeEventListener('abort', woken.set)
    },
  }
}
