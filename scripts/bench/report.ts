import { formatTable } from '../table.ts'
import type { Fact, Result } from './part.ts'

/** Others' work on the machine, as a share of its cores, and drift of the ceiling, above which no ratio means much. */
const QUIET_LOAD = 0.1
const STEADY_SPREAD = 1.5

/** A line of the table over all rounds. */
export interface Line extends Result {
  readonly met: boolean
}

/** What a run writes with `--json`; another run compares itself with it. */
export interface Report {
  readonly results: readonly Pick<Line, 'name' | 'value' | 'unit' | 'goal' | 'met'>[]
}

/** Whether the goal is that something never happens: a copy, a loss. */
export const isCountOfWrongs = (result: Pick<Result, 'goal' | 'bound'>) =>
  result.bound === 'at most' && result.goal === 0

/** The results of all rounds, by name: the middle, with the detail of what is nearest. What must never happen is summed. */
export function sumUp(results: readonly Result[]): Line[] {
  return [...Map.groupBy(results, (result) => result.name).values()].flatMap((rounds) => {
    const values = rounds.map((round) => round.value)
    const isSum = rounds.some(isCountOfWrongs)
    const value = isSum ? values.reduce((sum, each) => sum + each, 0) : middle(values)
    const [nearest] = rounds.toSorted(
      (a, b) => Math.abs(a.value - value) - Math.abs(b.value - value),
    )
    if (nearest === undefined) return []
    const line = { ...nearest, value }
    return [{ ...line, met: isMet(line) }]
  })
}

/** The middle of all rounds, by name. */
export function sumUpFacts(facts: readonly Fact[]): Fact[] {
  return [...Map.groupBy(facts, (fact) => fact.name).values()].flatMap((rounds) => {
    const [first] = rounds
    return first === undefined
      ? []
      : [{ ...first, value: middle(rounds.map((round) => round.value)) }]
  })
}

function isMet({ value, goal, bound }: Result): boolean {
  return bound === 'at least' ? value >= goal : value <= goal
}

export function formatLines(lines: readonly Line[]): string {
  const rows = lines.map((line) => [
    line.title,
    format(line.value, line.unit),
    `${line.bound === 'at least' ? '≥' : '≤'} ${format(line.goal, line.unit)}`,
    line.met ? 'met' : 'MISSED',
    line.detail,
  ])
  return formatTable(['', 'value', 'goal', '', 'made of'], rows)
}

export function formatFacts(facts: readonly Fact[]): string {
  const rows = facts.map((fact) => [fact.title, format(fact.value, fact.unit)])
  return formatTable(['for the record', ''], rows)
}

/** Counts as they are, everything else with three figures that mean something. */
function format(value: number, unit: string): string {
  const decimals = value >= 100 ? 0 : value >= 10 ? 1 : 2
  const text = Number.isInteger(value) && unit === '' ? String(value) : value.toFixed(decimals)
  return unit === '' ? text : `${text} ${unit}`
}

export interface Comparison {
  readonly table: string
  /** Names of ratios that are further off than they may be. */
  readonly off: readonly string[]
}

/** Each ratio beside that of an earlier run. */
export function compare(
  earlier: Report['results'],
  lines: readonly Line[],
  tolerance: number,
): Comparison {
  const off: string[] = []
  const rows: unknown[][] = []
  for (const { name, value, unit, goal } of earlier) {
    // What has a unit is no ratio, and of the machine at that moment.
    if (unit !== '' || goal === 0) continue
    const now = lines.find((line) => line.name === name)
    if (now === undefined) {
      rows.push([name, value.toFixed(3), '', '', 'not measured'])
      continue
    }
    const deviation = now.value / value - 1
    const isOff = Math.abs(deviation) > tolerance
    if (isOff) off.push(name)
    const percent = `${deviation < 0 ? '−' : '+'}${(Math.abs(deviation) * 100).toFixed(1)} %`
    rows.push([name, value.toFixed(3), now.value.toFixed(3), percent, isOff ? 'OFF' : ''])
  }
  return { table: formatTable(['ratio', 'earlier', 'now', 'deviation', ''], rows), off }
}

/** Why the figures are not to be trusted, if they are not. */
export function doubtsOf(loads: readonly number[], raws: readonly number[]): string[] {
  const doubts: string[] = []
  const load = Math.max(0, ...loads)
  if (load > QUIET_LOAD) {
    doubts.push(`other work took ${Math.round(load * 100)} % of this machine`)
  }
  const [least, most] = [Math.min(...raws), Math.max(...raws)]
  if (most > least * STEADY_SPREAD) {
    doubts.push(`the raw ceiling moved between ${least.toFixed(0)} and ${most.toFixed(0)} a second`)
  }
  return doubts
}

/** The mean without the lowest and the highest quarter, rounded down, but one each where there are three; NaN of nothing. */
export function middle(values: readonly number[]): number {
  const { length } = values
  const cut = length < 3 ? 0 : Math.max(1, Math.floor(length / 4))
  const kept = values.toSorted((a, b) => a - b).slice(cut, length - cut)
  return kept.reduce((sum, value) => sum + value, 0) / kept.length
}
