/** A message as a model reads it. */
export interface ModelMessage {
  readonly role: 'user' | 'assistant'
  readonly content: string
}

/** A tool as a model is offered it. */
export interface ModelTool {
  readonly name: string
  readonly wireName: string
  readonly description: string
  readonly argsSchema: Readonly<Record<string, unknown>>
}

/** What a tool gave back, as text for the model; a failure is told, not thrown. */
export interface ToolAnswer {
  readonly isOk: boolean
  readonly content: string
  /** It has not run: a person has to approve it first. */
  readonly isWaiting?: boolean
}

export interface ModelTurn {
  /** Oldest first; the last one is the user's new message. */
  readonly messages: readonly ModelMessage[]
  readonly tools: readonly ModelTool[]
  readonly runTool: (name: string, args: unknown) => Promise<ToolAnswer>
  readonly onDelta: (text: string) => void
  readonly signal: AbortSignal
}

/** What answers a turn. May call tools as often as it needs, within its own bound. */
export interface Model {
  readonly name: string
  /** Throws AppError `UNAVAILABLE` where no answer can be had. */
  readonly respond: (turn: ModelTurn) => Promise<{ readonly content: string }>
}
