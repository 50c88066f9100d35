import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'

interface ListenerOptions {
  readonly url: string
  readonly channel: string
  readonly applicationName: string
  /** Something was notified, or may have been while the connection was away. */
  readonly onNotice: () => void
  readonly onError: (error: Error) => void
}

const MAX_RETRY_MS = 10_000

/**
 * Listens on a connection of its own, and opens another when that breaks, for as long as it takes. What is missed is only
 * ever sooner known: whoever listens must also look.
 */
export function openListener(options: ListenerOptions): AsyncDisposable {
  const stopping = new AbortController()
  const listening = listenUntil(stopping.signal, options)
  return {
    [Symbol.asyncDispose]: () => {
      stopping.abort()
      return listening
    },
  }
}

async function listenUntil(signal: AbortSignal, options: ListenerOptions): Promise<void> {
  for (let retryMs = 500; !signal.aborted; retryMs = Math.min(retryMs * 2, MAX_RETRY_MS)) {
    const startedAt = performance.now()
    await listenOnce(signal, options)
    if (performance.now() - startedAt > MAX_RETRY_MS) retryMs = 500
    await sleep(retryMs, undefined, { signal }).catch(() => undefined)
  }
}

/** Until the connection breaks or the signal comes. */
async function listenOnce(signal: AbortSignal, options: ListenerOptions): Promise<void> {
  const client = new pg.Client({
    connectionString: options.url,
    application_name: options.applicationName,
    connectionTimeoutMillis: 5000,
    keepAlive: true,
  })
  const { promise: broken, resolve } = Promise.withResolvers<void>()
  const end = () => resolve()
  client.once('end', end)
  client.on('error', (error) => {
    options.onError(error)
    end()
  })
  signal.addEventListener('abort', end)
  client.on('notification', options.onNotice)
  try {
    await client.connect()
    await client.query(`listen ${pg.escapeIdentifier(options.channel)}`)
    options.onNotice()
    await broken
  } catch (error) {
    if (error instanceof Error) options.onError(error)
  }
  // Of a connection that is broken nothing else is to be had.
  await client.end().catch(() => undefined)
  signal.removeEventListener('abort', end)
}
