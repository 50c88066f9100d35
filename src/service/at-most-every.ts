/** Who asks in between gets what was last asked for, also while it is under way. */
export function atMostEvery<Found>(
  everyMs: number,
  nowMs: () => number,
  ask: () => Promise<Found>,
): () => Promise<Found> {
  let last: { readonly found: Promise<Found>; readonly untilMs: number } | null = null
  return () => {
    if (last === null || nowMs() >= last.untilMs) {
      last = { found: ask(), untilMs: nowMs() + everyMs }
    }
    return last.found
  }
}
