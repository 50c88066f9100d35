import { type Dispatcher, fetch as undiciFetch } from 'undici'

/**
 * A `fetch` on our own pool, for libraries that take one. Node's own `fetch` would read proxy variables from the
 * environment and cannot use another undici's dispatcher.
 */
export function makeOperatorFetch(dispatcher: Dispatcher): typeof fetch {
  const operatorFetch = (input: Parameters<typeof fetch>[0], init?: RequestInit) => {
    const url = input instanceof Request ? input.url : input
    // The two fetch types differ in name only: undici implements the standard that the DOM types describe.
    const own = init as Parameters<typeof undiciFetch>[1]
    return undiciFetch(url, { ...own, dispatcher }) as unknown as Promise<Response>
  }
  return operatorFetch as typeof fetch
}
