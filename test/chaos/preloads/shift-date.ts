import { readFileSync } from 'node:fs'

/**
 * A preload (`node --import`): on SIGUSR2 `Date` goes to the real time plus the milliseconds in `CHAOS_OFFSET_FILE`. Monotonic
 * time is left alone, as when the machine's clock is set.
 */
const RealDate = Date
let offsetMs = 0

class ShiftedDate extends RealDate {
  constructor(...given: [] | [value: number | string | Date]) {
    const [value = RealDate.now() + offsetMs] = given
    super(value)
  }

  static override now(): number {
    return RealDate.now() + offsetMs
  }
}

// With more arguments than one (local parts) the real constructor is right, and a call without `new` prints the real time.
globalThis.Date = new Proxy(RealDate, {
  construct: (target, given, newTarget) => {
    const Shifted = given.length <= 1 ? ShiftedDate : target
    return Reflect.construct(Shifted, given, newTarget === globalThis.Date ? Shifted : newTarget)
  },
  get: (target, name) => (name === 'now' ? ShiftedDate.now : Reflect.get(target, name)),
})

process.on('SIGUSR2', () => {
  offsetMs = Number(readFileSync(process.env.CHAOS_OFFSET_FILE ?? '', 'utf8'))
})
