/** What is to be called, and where in its list it stands. */
interface Call {
  readonly call: () => void
  place: number
}

const callsOf = new WeakMap<AbortSignal, Call[]>()

/**
 * Calls `call` when the signal is aborted, until what it returns is called. All calls share one listener: a signal walks through
 * its listeners to add one, and hundreds of exchanges listen to the same.
 *
 * A list and no `Set`: what a set was before it grew or was tidied points to what it is now (V8 does so for iterators), so once one
 * of them is old, each exchange that was ever in the set is kept until the whole heap is collected.
 */
export function onAbort(signal: AbortSignal | undefined, call: () => void): () => void {
  if (signal === undefined) return () => undefined
  const calls = callsOf.get(signal) ?? listenTo(signal)
  const entry: Call = { call, place: calls.length }
  calls.push(entry)
  return () => {
    // The last one takes its place.
    const last = calls.at(-1)
    if (last === undefined || !isListed(calls, entry)) return
    calls[entry.place] = last
    last.place = entry.place
    calls.pop()
  }
}

function listenTo(signal: AbortSignal): Call[] {
  const calls: Call[] = []
  callsOf.set(signal, calls)
  const callAll = () => {
    for (const entry of calls.slice()) if (isListed(calls, entry)) entry.call()
  }
  signal.addEventListener('abort', callAll, { once: true })
  return calls
}

const isListed = (calls: readonly Call[], entry: Call) => calls[entry.place] === entry
