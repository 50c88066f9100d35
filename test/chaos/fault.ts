import type { Bench } from './bench.ts'

/** `short`: seconds, for every test run. `full`: as long as the fault deserves. */
export type Size = 'short' | 'full'

/** What one fault came to. */
export interface Report {
  /** Distinct events of transactions that committed, times the subscriptions that want them. */
  readonly emitted: number
  readonly delivered: number
  readonly lost: number
  readonly duplicates: number
  readonly maxDuplicates: number
  /** From the end of the fault until everything owed was final. */
  readonly recoveryMs: number
  /** Invariants that are broken, a line each. */
  readonly problems: readonly string[]
  /** What else was measured. */
  readonly notes: readonly string[]
}

/** One fault: injects something for real, and says what it broke. */
export interface Fault {
  readonly id: string
  readonly name: string
  /** Why it cannot be injected on this machine, if it cannot. */
  readonly obstacle?: () => string | null
  /** Its database has nothing in it, not even the schema. */
  readonly needsEmpty?: boolean
  readonly run: (bench: Bench, size: Size) => Promise<Report>
}
