import type { EndpointVerdict } from '../../circuit.ts'

/** Why a server gave nothing that could be used: a value for the run or for the person who installed it. */
export interface McpFailure {
  readonly outcome: 'error' | 'timeout' | 'blocked'
  readonly reason: string
  /** What it says of the server; left out: that it is there. */
  readonly health?: EndpointVerdict
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

export function mcpError(reason: string, health: EndpointVerdict = 'works'): McpFailure {
  return { outcome: 'error', reason, ...(health === 'works' ? {} : { health }) }
}
