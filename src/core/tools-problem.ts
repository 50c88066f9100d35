/** A server that was read before gets this many tries in a row until somebody is told. */
const MAX_QUIET = 2

export interface ToolsProblem {
  /** Readings in a row that failed. */
  readonly failures: number
  /** Of the last one. */
  readonly reason: string
}

/** What `tools_problem` of an integration says. */
export function parseToolsProblem(stored: string | null): ToolsProblem | null {
  if (stored === null) return null
  const [, failures = '1', reason = stored] = /^(\d{1,6}): (.*)$/s.exec(stored) ?? []
  return { failures: Number(failures), reason }
}

export function formatToolsProblem({ failures, reason }: ToolsProblem): string {
  return `${failures}: ${reason}`
}

/** Whether a person has to know: at once where the tools were never read, else when it goes on. */
export function isToolsProblemShown({ failures }: ToolsProblem, wasEverRead: boolean): boolean {
  return !wasEverRead || failures > MAX_QUIET
}
