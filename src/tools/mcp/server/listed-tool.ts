import type { JsonSchema } from '../../args.ts'
import type { CatalogTool } from '../../catalog.ts'
import { toMcpTool } from '../../formats.ts'

/**
 * A tool as `tools/list` shows it: what is promised there is kept by `tools/call`.
 *
 * No output schema stands at a tool that waits for a person, since a call of it may end without a result; nor where it is not
 * of an object, which clients of 2025 refuse with the whole list. A tool that asks is called destructive, whatever its method.
 */
export function toListedTool(tool: CatalogTool) {
  const { inputSchema, annotations, ...rest } = toMcpTool({
    ...tool,
    outputSchema: promisedSchema(tool),
  })
  const destructiveHint = annotations.destructiveHint || tool.approval === 'ask'
  return {
    ...rest,
    inputSchema: { ...withoutHeaders(inputSchema), type: 'object' as const },
    annotations: { ...annotations, destructiveHint },
  }
}

/** What a result is held against; null: nothing was promised. */
export function promisedSchema(tool: {
  readonly outputSchema: JsonSchema | null
  readonly approval: 'auto' | 'ask'
}): JsonSchema | null {
  const { outputSchema, approval } = tool
  return outputSchema?.type === 'object' && approval === 'auto' ? outputSchema : null
}

/** Without `x-mcp-header`: it makes clients repeat an argument in a header, for proxies that there are none of here. */
function withoutHeaders(schema: JsonSchema): JsonSchema {
  return Object.fromEntries(
    Object.entries(schema)
      // A property of that name has a schema, not a text.
      .filter(([name, value]) => !(name === 'x-mcp-header' && typeof value === 'string'))
      .map(([name, value]) => [name, cleaned(value)]),
  )
}

function cleaned(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(cleaned)
  return isObject(value) ? withoutHeaders(value) : value
}

function isObject(value: unknown): value is JsonSchema {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
