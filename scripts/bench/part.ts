import type { Templates } from './databases.ts'

/** One line of the table, and of the JSON. */
export interface Result {
  /** Stable, snake_case: `ratio_20_lanes`. */
  readonly name: string
  /** For people: what was measured, in a few words. */
  readonly title: string
  readonly value: number
  /** '': a ratio. */
  readonly unit: '' | 'ms' | 'kB' | 'MB' | '/s' | 'per delivery'
  readonly goal: number
  /** Whether the goal is a least or a most. */
  readonly bound: 'at least' | 'at most'
  /** What the value was made of: `14,012/s of 28,300/s`. */
  readonly detail: string
}

/** What is worth knowing and has no goal. */
export interface Fact {
  readonly name: string
  readonly title: string
  readonly value: number
  readonly unit: 'µs' | 'MB' | '/s'
}

/** How much a part sends where it sends as much as it can. */
export interface Size {
  readonly deliveries: number
  /** Before: a process is compiled further for ten thousands of deliveries. */
  readonly warmUp: number
}

/** What this machine signs and sends with no database at all. */
export interface Raw extends AsyncDisposable {
  /** Requests a second. */
  readonly measure: () => Promise<number>
}

/** What every part of the bench stands on. */
export interface Stage {
  /** Of the run's own Postgres, as its superuser. */
  readonly serverUrl: string
  /** Of the receiver's process, see `receiver.ts`. */
  readonly receiverUrl: string
  readonly receiverPid: number
  /** For logs; gone after the run. */
  readonly dir: string
  /** `--quick`: a tenth of the work or less, for a look; the full size is what goals are judged on. */
  readonly isQuick: boolean
  readonly size: Size
  /** Databases that are made once a run and copied for each measurement. */
  readonly templates: Templates
  /** A name for a database or a file that nobody else has. */
  readonly newName: (of: string) => string
  readonly openRaw: () => Promise<Raw>
  /** Tells the stage how much memory a worker took at its highest, in MB. */
  readonly noteMemory: (mb: number) => void
  readonly noteFact: (fact: Fact) => void
  /** One line for whoever watches. */
  readonly say: (line: string) => void
  readonly signal: AbortSignal
}

/**
 * Measures some lines of the table, some of them several times. Makes its own databases and processes, and ends them before it
 * returns.
 */
export interface Part {
  readonly name: string
  /** Not repeated: it measures often enough within one go, or counts what hardly varies. */
  readonly isOnce: boolean
  readonly measure: (stage: Stage) => Promise<Result[]>
  /** What follows from its lines over all rounds. */
  readonly conclude?: (lines: readonly Result[]) => Result[]
}
