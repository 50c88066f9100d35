import { formatTable } from '../table.ts'
import type { Measured } from './end-to-end.ts'

/** Of the raw ceiling, that the product reaches. */
const GOAL = 0.35

/** Of what it would be without guard, row-level security and encryption. */
const WALLS_GOAL = 0.9

/** Others' work on the machine, as a share of its cores, and drift of the ceiling, above which no ratio means much. */
const QUIET_LOAD = 0.1
const STEADY_SPREAD = 1.25

/** One measurement of one lane count, and the ceiling measured right before it. */
export interface Part {
  readonly lanes: number
  readonly deliveries: number
  readonly raw: number
  /** Others' work before it. */
  readonly load: number
  readonly measured: Measured
  /** The same without guard, row-level security and encryption, where that was asked for. */
  readonly bare: Measured | null
}

export interface Result {
  readonly name: string
  readonly value: number
  readonly goal: number
  readonly met: boolean
}

export interface Report {
  readonly table: string
  readonly results: readonly Result[]
  /** Why the figures are not to be trusted, if they are not. */
  readonly doubts: readonly string[]
}

/** Medians over the parts of a lane count, against the median of all ceilings. Copies and losses are summed: none is fine. */
export function makeReport(parts: readonly Part[]): Report {
  const ceiling = median(parts.map((part) => part.raw))
  const rows = [['raw: sign and POST, no database', ceiling.toFixed(0), '1.00', '', '', '', '', '']]
  const results: Result[] = []
  for (const lanes of new Set(parts.map((part) => part.lanes))) {
    const some = parts.filter((part) => part.lanes === lanes)
    const perSecond = median(some.map((part) => part.measured.perSecond))
    const total = sumUp(some)
    const ratio = perSecond / ceiling
    const isFast = ratio >= GOAL
    const wrong = total.missing + total.twice + total.forged + total.unrecorded
    results.push(
      { name: `ratio_${lanes}_lanes`, value: ratio, goal: GOAL, met: isFast },
      { name: `wrong_${lanes}_lanes`, value: wrong, goal: 0, met: wrong === 0 },
    )
    rows.push([
      `end to end, ${lanes} ${lanes === 1 ? 'lane' : 'lanes'}`,
      perSecond.toFixed(0),
      ratio.toFixed(2),
      `≥ ${GOAL.toFixed(2)}, none wrong: ${isFast && wrong === 0 ? 'met' : 'MISSED'}`,
      String(total.received),
      String(total.twice),
      `${total.verified} of ${total.verified + total.forged}`,
      String(total.recorded),
    ])
    const pairs = some.flatMap(({ measured, bare }) =>
      bare === null ? [] : [measured.perSecond / bare.perSecond],
    )
    if (pairs.length === 0) continue
    const kept = median(pairs)
    const isCheap = kept >= WALLS_GOAL
    results.push({ name: `walls_${lanes}_lanes`, value: kept, goal: WALLS_GOAL, met: isCheap })
    rows.push([
      '  against the same without guard, row-level security and encryption',
      median(some.map((part) => part.bare?.perSecond ?? 0)).toFixed(0),
      kept.toFixed(2),
      `≥ ${WALLS_GOAL.toFixed(2)}: ${isCheap ? 'met' : 'MISSED'}`,
      '',
      '',
      '',
      '',
    ])
  }
  const header = ['', 'per second', 'ratio', 'goal', 'received', 'twice', 'verified', 'recorded']
  return { table: formatTable(header, rows), results, doubts: doubtsOf(parts) }
}

function sumUp(parts: readonly Part[]) {
  const sum = (pick: (part: Part) => number) => parts.reduce((all, part) => all + pick(part), 0)
  const distinct = (part: Part) => part.measured.counts.received - part.measured.counts.twice
  return {
    received: sum((part) => part.measured.counts.received),
    twice: sum((part) => part.measured.counts.twice),
    verified: sum((part) => part.measured.counts.verified),
    forged: sum((part) => part.measured.counts.forged),
    recorded: sum((part) => part.measured.recorded),
    missing: sum((part) => Math.abs(part.deliveries - distinct(part))),
    unrecorded: sum((part) => Math.abs(part.deliveries - part.measured.recorded)),
  }
}

function doubtsOf(parts: readonly Part[]): string[] {
  const doubts: string[] = []
  const load = Math.max(...parts.map((part) => part.load))
  if (load > QUIET_LOAD) {
    doubts.push(`other work took ${Math.round(load * 100)} % of this machine`)
  }
  const raws = parts.map((part) => part.raw)
  const [least, most] = [Math.min(...raws), Math.max(...raws)]
  if (most > least * STEADY_SPREAD) {
    doubts.push(`the raw ceiling moved between ${least.toFixed(0)} and ${most.toFixed(0)}`)
  }
  return doubts
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  const upper = sorted[Math.floor(sorted.length / 2)] ?? 0
  const lower = sorted[Math.floor((sorted.length - 1) / 2)] ?? 0
  return (lower + upper) / 2
}
