import type { Dispatcher } from 'undici'
import { onAbort } from './on-abort.ts'
import type { Target } from './url.ts'

export interface EgressRequest {
  readonly method: string
  /** Name, value, name, value, … `accept-encoding` is ours. */
  readonly headers: readonly string[]
  readonly body: string | Buffer | null
  /** For the whole exchange: waiting for a socket, connecting, sending, and the last byte of the answer. */
  readonly timeoutMs: number
  /** Of the answer's body; the rest is not read. */
  readonly maxBytes: number
  /** By `performance.now()`: when the first byte has not left by then, none does, and the exchange ends as `interrupted`. */
  readonly startByMs?: number
  /** Aborted when we stop: the exchange ends as `interrupted`. */
  readonly signal?: AbortSignal
}

export type EgressResult =
  | {
      readonly kind: 'answer'
      readonly statusCode: number
      readonly headers: Readonly<Record<string, string | string[] | undefined>>
      readonly body: Buffer
      readonly isCut: boolean
      /** How the body is encoded although nobody asked for it, like `gzip`: it is kept as it came, and is no text. */
      readonly encoding: string | null
    }
  | { readonly kind: 'blocked'; readonly reason: string }
  | { readonly kind: 'timeout'; readonly reason: string }
  | { readonly kind: 'failed'; readonly reason: string }
  | { readonly kind: 'interrupted'; readonly reason: string; readonly waitMs?: number }

/**
 * Sends one request and reads one answer, on undici's dispatch interface: about half the work per request of its
 * `request()`, and the body's cap is ours. No redirect is followed, nothing is decompressed: the cap counts what is kept.
 */
export function exchange(
  dispatcher: Dispatcher,
  target: Target,
  request: EgressRequest,
  describe: (error: Error) => EgressResult,
): Promise<EgressResult> {
  return new Promise((resolve) => {
    let isDone = false
    let controller: Dispatcher.DispatchController | null = null
    let statusCode = 0
    let headers: Readonly<Record<string, string | string[] | undefined>> = {}
    const chunks: Buffer[] = []
    let bytes = 0

    const finish = (result: EgressResult) => {
      if (isDone) return
      isDone = true
      clearTimeout(timer)
      forgetAbort()
      resolve(result)
    }
    const stop = (result: EgressResult) => {
      finish(result)
      controller?.abort(new Error(result.kind))
    }
    const interrupt = () => stop({ kind: 'interrupted', reason: 'Patchbay was shut down' })
    const answer = (isCut: boolean): EgressResult => {
      const body = chunks.length === 1 ? (chunks[0] ?? Buffer.alloc(0)) : Buffer.concat(chunks)
      return { kind: 'answer', statusCode, headers, body, isCut, encoding: encodingOf(headers) }
    }
    const timer = setTimeout(() => {
      // Connecting has a shorter limit of its own: whoever still waits here waits for others to the same host.
      if (controller === null) {
        stop({ kind: 'interrupted', reason: 'no socket to this host became free in time' })
        return
      }
      const after = `within ${request.timeoutMs / 1000} s`
      stop({
        kind: 'timeout',
        reason: statusCode === 0 ? `no answer ${after}` : `the answer did not end ${after}`,
      })
    }, request.timeoutMs)
    const forgetAbort = onAbort(request.signal, interrupt)
    if (request.signal?.aborted === true) interrupt()

    dispatcher.dispatch(
      {
        origin: target.origin,
        path: target.path,
        // undici types methods as a closed set plus any string
        method: request.method as Dispatcher.HttpMethod,
        headers: [...request.headers, 'accept-encoding', 'identity'],
        body: request.body,
      },
      {
        onRequestStart(started) {
          controller = started
          // The last look before the bytes go: this process may have been frozen since the request was made.
          if (request.startByMs !== undefined && performance.now() > request.startByMs) {
            stop({ kind: 'interrupted', reason: 'its moment to be sent had passed' })
          } else if (isDone) started.abort(new Error('ended while waiting for a socket'))
        },
        onResponseStart(_, status, responseHeaders) {
          if (status < 200) return
          statusCode = status
          headers = responseHeaders
        },
        onResponseData(_, chunk) {
          if (isDone) return
          const room = request.maxBytes - bytes
          if (chunk.length > room) {
            chunks.push(chunk.subarray(0, room))
            stop(answer(true))
            return
          }
          bytes += chunk.length
          chunks.push(chunk)
        },
        onResponseEnd() {
          finish(answer(false))
        },
        onResponseError(_, error) {
          finish(describe(error))
        },
      },
    )
  })
}

function encodingOf(
  headers: Readonly<Record<string, string | string[] | undefined>>,
): string | null {
  const encoding = headers['content-encoding']
  if (encoding === undefined) return null
  const given = [encoding].flat().join(', ').trim().toLowerCase()
  if (given === '' || given === 'identity') return null
  // Anything else may be what it was sent, in lower case.
  return /^(?:(?:x-)?gzip|br|deflate|zstd|(?:x-)?compress|, ?)+$/.test(given) ? given : 'unknown'
}
