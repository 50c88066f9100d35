import { type Dispatcher, Response as UndiciResponse, fetch as undiciFetch } from 'undici'

/** What an answer may cost. */
export interface FetchLimits {
  /** Of the body, counted after decompression; what is over it ends the body with an error. */
  readonly maxBytes: number
  /** For the whole, to the last byte of the body. */
  readonly timeoutMs: number
}

export interface OperatorFetch {
  (...request: Parameters<typeof fetch>): Promise<Response>
  /** The same with limits of its own. */
  readonly within: (limits: FetchLimits) => typeof fetch
}

/** Wide enough for a model that thinks for minutes; a bound all the same. */
const DEFAULT_LIMITS: FetchLimits = { maxBytes: 16_777_216, timeoutMs: 600_000 }

/**
 * A `fetch` on our own pool, for libraries that take one. Node's own `fetch` would read proxy variables from the
 * environment and cannot use another undici's dispatcher.
 *
 * A redirect is never followed: the operator named this URL, and credentials go with the request. It rejects, or comes back
 * as an opaque answer that is not `ok` where the caller asked for `redirect: 'manual'`.
 */
export function makeOperatorFetch(dispatcher: Dispatcher): OperatorFetch {
  const within = (limits: FetchLimits): typeof fetch => {
    const limited = async (input: Parameters<typeof fetch>[0], init?: RequestInit) => {
      const url = input instanceof Request ? input.url : input
      const deadline = AbortSignal.timeout(limits.timeoutMs)
      const { signal, redirect } = init ?? {}
      // The two fetch types differ in name only: undici implements the standard that the DOM types describe.
      const own = init as Parameters<typeof undiciFetch>[1]
      const response = await undiciFetch(url, {
        ...own,
        redirect: redirect === 'manual' ? 'manual' : 'error',
        signal: signal == null ? deadline : AbortSignal.any([signal, deadline]),
        dispatcher,
      })
      return capped(response, limits.maxBytes) as unknown as Response
    }
    return limited as typeof fetch
  }
  return Object.assign(within(DEFAULT_LIMITS), { within })
}

type FetchedResponse = Awaited<ReturnType<typeof undiciFetch>>

/** The same answer with a body that ends in an error past the cap. */
function capped(response: FetchedResponse, maxBytes: number): FetchedResponse {
  if (response.body === null) return response
  let bytes = 0
  const counted = response.body.pipeThrough(
    new TransformStream<Uint8Array, Uint8Array>({
      transform(chunk, controller) {
        bytes += chunk.byteLength
        if (bytes > maxBytes) controller.error(new Error(`the answer is over ${maxBytes} bytes`))
        else controller.enqueue(chunk)
      },
    }),
  )
  const { status, statusText, headers } = response
  return new UndiciResponse(counted, { status, statusText, headers })
}
