/** What is counted where it happens. Its labels have few values each: never an org, a URL or an id. */
export interface Meter {
  readonly requestAnswered: (
    request: { readonly method: string; readonly route: string; readonly status: number },
    durationMs: number,
  ) => void
  /** A try to deliver has ended. */
  readonly attempted: (outcome: string, durationMs: number) => void
  /** A tool has run. */
  readonly toolRan: (outcome: string, durationMs: number) => void
}

/** Metrics as who scrapes them reads them. */
export interface Exposed {
  readonly contentType: string
  readonly text: string
}

/** For a process whose metrics nobody asks for. */
export const NO_METER: Meter = {
  requestAnswered: () => undefined,
  attempted: () => undefined,
  toolRan: () => undefined,
}
