import type { EgressResult } from '../egress/exchange.ts'

/** Failures in a row that open it. */
const MAX_FAILURES = 5
const OPEN_MS = 30_000
const MAX_OPEN_MS = 300_000
/** A probe that has said nothing for so long says nothing more: no call takes that long. */
const MAX_PROBE_MS = 120_000
/** Of tools that fail; the one that was asked about longest ago is forgotten first, and begins anew. */
const MAX_TOOLS = 10_000

/** What a call says of its endpoint. */
export type EndpointVerdict = 'works' | 'fails' | 'neither'

export type CircuitLeave =
  | { readonly isOpen: true; readonly failures: number; readonly retryAfterS: number }
  | {
      readonly isOpen: false
      /** Once, at the call's end, whatever came of it; what is told again is ignored. */
      readonly report: (verdict: EndpointVerdict) => void
    }

interface State {
  failures: number
  openForMs: number
  /** When a probe may go; null: closed. */
  openUntilMs: number | null
  probe: { readonly id: symbol; readonly lapsesAtMs: number } | null
}

/**
 * Spares an endpoint that fails, and whoever waits for it. One circuit a tool, known to this process alone; a tool that works
 * takes no room.
 *
 *   closed ─ 5 failures in a row ─▶ open for 30 s ─▶ half-open: one call goes, as a probe; others are refused
 *      ▲                              ▲                 │
 *      ├── the probe works ───────────┼─────────────────┤
 *      │                              └── it fails ─────┘  twice as long as before, 5 min at most
 *      └── a call works that left before it opened
 *
 * A probe that says neither, or nothing for two minutes, leaves its place to the next.
 *
 * @param nowMs of a clock that does not go back
 */
export function makeCircuit(nowMs: () => number) {
  const states = new Map<string, State>()

  /** Made at the first failure, and put behind all others. */
  function touch(toolId: string, made?: State): State | undefined {
    const state = states.get(toolId) ?? made
    if (state === undefined) return undefined
    states.delete(toolId)
    states.set(toolId, state)
    const [oldest] = states.keys()
    if (states.size > MAX_TOOLS && oldest !== undefined) states.delete(oldest)
    return state
  }

  function settle(toolId: string, verdict: EndpointVerdict, id: symbol): void {
    if (verdict === 'works') {
      states.delete(toolId)
      return
    }
    const made = { failures: 0, openForMs: OPEN_MS, openUntilMs: null, probe: null }
    const state = touch(toolId, verdict === 'fails' ? made : undefined)
    if (state === undefined) return
    const isProbe = state.probe?.id === id
    if (isProbe) state.probe = null
    if (verdict === 'neither') return
    state.failures += 1
    if (isProbe) {
      state.openForMs = Math.min(state.openForMs * 2, MAX_OPEN_MS)
      state.openUntilMs = nowMs() + state.openForMs
    } else if (state.openUntilMs === null && state.failures >= MAX_FAILURES) {
      state.openUntilMs = nowMs() + state.openForMs
    }
  }

  return {
    /**
     * Leave for one call. Who gets it reports in the end.
     *
     * @param isTry by a person, who wants to know whether it works again: an open circuit is no reason to wait
     */
    enter(toolId: string, isTry = false): CircuitLeave {
      const id = Symbol(toolId)
      const state = touch(toolId)
      if (!isTry && state !== undefined && state.openUntilMs !== null) {
        const now = nowMs()
        const { failures, openUntilMs, probe } = state
        const isProbed = probe !== null && now < probe.lapsesAtMs
        if (now < openUntilMs || isProbed) {
          // A probe may end any moment.
          const retryAfterS = Math.max(1, Math.ceil((openUntilMs - now) / 1000))
          return { isOpen: true, failures, retryAfterS }
        }
        state.probe = { id, lapsesAtMs: now + MAX_PROBE_MS }
      }
      let isReported = false
      return {
        isOpen: false,
        report: (verdict) => {
          if (isReported) return
          isReported = true
          settle(toolId, verdict, id)
        },
      }
    },
  }
}

/**
 * What an exchange says of its endpoint: a 5xx, silence and a broken line are its failures; whoever refuses (4xx) is there. What
 * was blocked or interrupted by us says nothing.
 */
export function judgeEndpoint(result: EgressResult): EndpointVerdict {
  switch (result.kind) {
    case 'answer':
      return result.statusCode >= 500 ? 'fails' : 'works'
    case 'timeout':
    case 'failed':
      return 'fails'
    case 'blocked':
    case 'interrupted':
      return 'neither'
  }
}
