/** What a double of a model's API was asked, whatever its protocol. */
export interface Asked {
  /** The names of the tools on offer. */
  readonly tools: readonly string[]
  /** What the user said last. */
  readonly said: string
  /** What tools gave back, oldest first. */
  readonly results: readonly ToolResult[]
}

export interface ToolResult {
  readonly callId: string
  readonly text: string
  /** Where the protocol can say so. */
  readonly isError?: boolean | undefined
}

/** What a model comes to: tools it wants called, or its answer. */
export type Thought =
  | { readonly calls: readonly { readonly name: string; readonly args: object | string }[] }
  | { readonly text: string }

export type Think = (asked: Asked) => Thought

/** What an API refuses, and how it says so. */
export class Refusal extends Error {
  readonly status: number
  readonly param: string | null

  constructor(message: string, { status = 400, param = null as string | null } = {}) {
    super(message)
    this.status = status
    this.param = param
  }
}

/** JSON text of arguments; a model may also write text that is none. */
export function toArgumentsText(args: object | string): string {
  return typeof args === 'string' ? args : JSON.stringify(args)
}
