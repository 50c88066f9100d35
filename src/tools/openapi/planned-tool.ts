import type { JsonSchema } from '../args.ts'
import type { HttpConfig } from '../http-config.ts'

/** A tool as a document describes it. */
export interface PlannedTool {
  /** Not yet one of its own. */
  readonly name: string
  readonly description: string
  readonly argsSchema: JsonSchema
  readonly outputSchema: JsonSchema | null
  readonly httpConfig: HttpConfig
  /** Where nobody has said otherwise. */
  readonly isEnabled: boolean
  readonly approval: 'auto' | 'ask'
}
