const callsOf = new WeakMap<AbortSignal, Set<() => void>>()

/**
 * Calls `call` when the signal is aborted, until what it returns is called. All calls share one listener: a signal walks through
 * its listeners to add one, and hundreds of exchanges listen to the same.
 */
export function onAbort(signal: AbortSignal | undefined, call: () => void): () => void {
  if (signal === undefined) return () => undefined
  const calls = callsOf.get(signal) ?? listenTo(signal)
  calls.add(call)
  return () => {
    calls.delete(call)
  }
}

function listenTo(signal: AbortSignal): Set<() => void> {
  const calls = new Set<() => void>()
  callsOf.set(signal, calls)
  const callAll = () => {
    for (const call of calls) call()
  }
  signal.addEventListener('abort', callAll, { once: true })
  return calls
}
