import type { Converter } from './convert-schema.ts'
import { isJsonType, mediaOf } from './media.ts'
import { type Node, nodeOf } from './node.ts'
import type { Operation } from './operation.ts'
import type { Follow } from './reference.ts'

export interface OperationOutput {
  /** null: it says of no success what it is answered with, or that is no JSON. */
  readonly schema: Node | null
  /** To be asked for. */
  readonly mediaType: string | null
  readonly warnings: readonly string[]
}

/** What an operation answers where it succeeds, by its first status of 2xx with JSON. */
export function outputSchema(
  { node }: Operation,
  { follow }: Follow,
  converter: Converter,
): OperationOutput {
  const responses = nodeOf(node, 'responses')
  const statuses = Object.keys(responses)
    .filter((status) => /^2(?:\d\d|XX)$/i.test(status))
    .sort()
  for (const status of statuses) {
    const media = mediaOf(follow(responses[status])).find(({ type }) => isJsonType(type))
    if (media === undefined) continue
    const root = converter.convertRoot(media.node.schema)
    const { defs, warnings } = converter.finish()
    const isEmpty = Object.keys(root).length === 0
    const whole = Object.keys(defs).length === 0 ? root : { ...root, $defs: defs }
    return { schema: isEmpty ? null : whole, mediaType: media.type, warnings }
  }
  return { schema: null, mediaType: null, warnings: [] }
}
