import { countWrong, type Measured } from './end-to-end.ts'
import type { Result } from './part.ts'

interface Quotient {
  readonly value: number
  readonly detail: string
}

/** One rate against another. */
export function quotientOf(rate: number, of: number): Quotient {
  return { value: rate / of, detail: `${perSecond(rate)} of ${perSecond(of)}` }
}

export function atLeast(name: string, title: string, goal: number, quotient: Quotient): Result {
  const { value, detail } = quotient
  return { name, title, value, unit: '', goal, bound: 'at least', detail }
}

/** What must never happen, in some measurements together. */
export function wrongs(of: string, measured: readonly Measured[]): Result {
  const sum = (pick: (each: Measured) => number) =>
    measured.reduce((all, each) => all + pick(each), 0)
  const verified = sum(({ counts }) => counts.verified)
  return {
    name: `wrong_${of}`,
    title: '  lost, twice, forged or not recorded',
    value: sum(countWrong),
    unit: '',
    goal: 0,
    bound: 'at most',
    detail: `${sum(({ counts }) => counts.received)} received, ${sum(({ recorded }) => recorded)} recorded, ${verified} verified`,
  }
}

export const perSecond = (value: number) => `${Math.round(value).toLocaleString('en')}/s`
