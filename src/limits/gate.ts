import { AppError } from '../core/error.ts'

export interface GateOptions {
  /** For who is refused, after the number: what it lets in. */
  readonly what: string
  /** At once, for each key. */
  readonly max: number
  readonly maxWaiting: number
  readonly maxWaitMs: number
}

interface Queue {
  inside: number
  readonly waiting: Set<() => void>
}

/**
 * Lets so many in at once for each key; the next ones wait in order, not for long, and not too many.
 *
 * @returns what lets the next one in
 * @throws AppError `RATE_LIMITED` for who finds the queue full or waited in vain
 */
export function makeGate({ what, max, maxWaiting, maxWaitMs }: GateOptions) {
  const queues = new Map<string, Queue>()

  function leave(key: string, queue: Queue): void {
    const [next] = queue.waiting
    if (next !== undefined) {
      queue.waiting.delete(next)
      // The place goes on to the next one, so nobody overtakes.
      next()
      return
    }
    queue.inside -= 1
    if (queue.inside === 0) queues.delete(key)
  }

  return async function enter(key: string, signal?: AbortSignal): Promise<() => void> {
    const queue = queues.get(key) ?? { inside: 0, waiting: new Set() }
    queues.set(key, queue)
    if (queue.inside < max) {
      queue.inside += 1
      return () => leave(key, queue)
    }
    if (queue.waiting.size >= maxWaiting || !(await isLetIn(queue, maxWaitMs, signal))) {
      throw new AppError('RATE_LIMITED', `${max} ${what} already; try again in a moment.`, {
        retryAfterS: 1,
      })
    }
    return () => leave(key, queue)
  }
}

function isLetIn(queue: Queue, maxWaitMs: number, signal?: AbortSignal): Promise<boolean> {
  return new Promise((done) => {
    const end = (isIn: boolean) => {
      clearTimeout(timer)
      signal?.removeEventListener('abort', giveUp)
      done(isIn)
    }
    const letIn = () => end(true)
    const giveUp = () => {
      queue.waiting.delete(letIn)
      end(false)
    }
    const timer = setTimeout(giveUp, maxWaitMs)
    signal?.addEventListener('abort', giveUp)
    queue.waiting.add(letIn)
    if (signal?.aborted === true) giveUp()
  })
}
