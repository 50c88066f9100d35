/** What a wake is sent through: a pool of `pg`, not the client of a transaction. */
export interface WakePool {
  query(text: string): Promise<unknown>
}

/** Commits that come together wake the workers together. */
const GAP_MS = 2

/**
 * Makes what a host calls after a commit that had an `emit` in it, so that the workers look at once; without it they find the
 * event within 250 ms. Call it as often as you like: it sends one statement each two milliseconds at most, and waits for nothing.
 *
 * Through PgBouncer in transaction mode it works for the host, but the workers must reach Postgres itself to hear it.
 *
 * @param onError a wake that could not be sent; nothing is lost
 */
export function makeWake(pool: WakePool, onError: (error: unknown) => void): () => void {
  let timer: NodeJS.Timeout | null = null
  let sentAtMs = Number.NEGATIVE_INFINITY
  const send = () => {
    timer = null
    sentAtMs = performance.now()
    pool.query('select patchbay.wake()').catch(onError)
  }
  return () => {
    if (timer !== null) return
    const waitMs = sentAtMs + GAP_MS - performance.now()
    if (waitMs <= 0) send()
    else timer = setTimeout(send, waitMs)
  }
}
