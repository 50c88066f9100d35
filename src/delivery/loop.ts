import { makeSignal } from './signal.ts'

const AFTER_ERROR_MS = 1000

interface LoopOptions {
  /** @returns whether there may be more to do */
  readonly step: () => Promise<boolean>
  /** How long it rests when nobody wakes it. */
  readonly pollMs: number
  readonly onRest: () => void
  readonly onError: (error: unknown) => void
}

/** Does a step again and again while there is more; then rests until it is woken, or looks by itself. */
export function makeLoop({ step, pollMs, onRest, onError }: LoopOptions) {
  const woken = makeSignal()
  let wakes = 0
  let isResting = false

  async function work(signal: AbortSignal): Promise<void> {
    isResting = false
    let seen: number
    let hasMore: boolean
    do {
      seen = wakes
      hasMore = await step()
    } while (hasMore && !signal.aborted)
    // Who woke it during the last step wants another look.
    if (seen !== wakes) return
    isResting = true
    onRest()
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
      while (!signal.aborted) {
        try {
          await work(signal)
        } catch (error) {
          onError(error)
          await woken.wait(AFTER_ERROR_MS)
        }
        await woken.wait(pollMs)
      }
      signal.removeEventListener('abort', woken.set)
    },
  }
}
