/** Dice of one run: all of them come from its seed (mulberry32), so a run can be repeated. */
export interface Dice {
  /** 0 to 1. */
  readonly next: () => number
  readonly between: (least: number, most: number) => number
  readonly pick: <Item>(items: readonly Item[]) => Item | undefined
}

export function makeDice(seed: number): Dice {
  let state = seed >>> 0
  const next = () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }
  return {
    next,
    between: (least, most) => least + (most - least) * next(),
    pick: (items) => items[Math.floor(next() * items.length)],
  }
}
