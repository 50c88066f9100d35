/** Why a server gave nothing that could be used: a value for the run or for the person who installed it. */
export interface McpFailure {
  readonly outcome: 'error' | 'timeout' | 'blocked'
  readonly reason: string
}

/** Carries a failure through the library, which knows errors only. Caught where the connection ends. */
export class McpFailureError extends Error {
  override readonly name = 'McpFailureError'
  readonly failure: McpFailure

  constructor(failure: McpFailure) {
    super(failure.reason)
    this.failure = failure
  }
}

export function mcpError(reason: string): McpFailure {
  return { outcome: 'error', reason }
}
