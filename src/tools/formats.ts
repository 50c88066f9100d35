import type { CatalogTool } from './catalog.ts'
import { toWireSchema } from './wire-schema.ts'

export const TOOL_FORMATS = [
  'native',
  'openai',
  'openai-responses',
  'anthropic',
  'gemini',
  'mcp',
] as const
export type ToolFormat = (typeof TOOL_FORMATS)[number]

type Wire = Pick<CatalogTool, 'wireName' | 'description' | 'argsSchema'>

/**
 * The same tools in the shape that an API takes them in: by their wire names and with their wire schemas, which all APIs
 * accept. `native` has them as they are.
 */
export function formatTools(tools: readonly CatalogTool[], format: ToolFormat): unknown[] {
  return tools.map((tool) => FORMATS[format](tool))
}

const FORMATS = {
  native: (tool) => tool,
  openai: toOpenAiTool,
  'openai-responses': toOpenAiResponsesTool,
  anthropic: toAnthropicTool,
  gemini: toGeminiTool,
  mcp: toMcpTool,
} satisfies Record<ToolFormat, (tool: CatalogTool) => unknown>

/** A tool for a model behind any API: as it is, with its wire schema. */
export function toModelTool(tool: CatalogTool) {
  return { ...tool, argsSchema: toWireSchema(tool.argsSchema) }
}

/** A tool of OpenAI's chat completions. Without `strict`, so that arguments may be optional. */
export function toOpenAiTool({ wireName: name, description, argsSchema }: Wire) {
  const parameters = { ...toWireSchema(argsSchema) }
  return { type: 'function' as const, function: { name, description, parameters } }
}

/** A tool of OpenAI's Responses, which makes every argument required unless `strict` is false. */
export function toOpenAiResponsesTool({ wireName: name, description, argsSchema }: Wire) {
  const parameters = { ...toWireSchema(argsSchema) }
  return { type: 'function' as const, name, description, parameters, strict: false }
}

/** A tool of Anthropic's Messages. */
export function toAnthropicTool({ wireName: name, description, argsSchema }: Wire) {
  return { name, description, input_schema: toWireSchema(argsSchema) }
}

/** One of the `functionDeclarations` of Gemini's generateContent. */
export function toGeminiTool({ wireName: name, description, argsSchema }: Wire) {
  return { name, description, parametersJsonSchema: toWireSchema(argsSchema) }
}

/**
 * A tool of MCP's `tools/list`. MCP itself takes any schema, but its clients hand it on to a model's API as it is. The hints
 * say what is known by the method that a tool is called with; where nothing is, they are MCP's own defaults. [MCP
 * 2026-07-28, Tool and ToolAnnotations]
 */
export function toMcpTool(tool: CatalogTool) {
  const { wireName: name, description, argsSchema, outputSchema, isReadOnly, isIdempotent } = tool
  return {
    name,
    title: tool.name,
    description,
    inputSchema: toWireSchema(argsSchema),
    ...(outputSchema === null ? {} : { outputSchema: { ...outputSchema } }),
    annotations: {
      readOnlyHint: isReadOnly,
      destructiveHint: !isReadOnly,
      idempotentHint: isIdempotent,
      openWorldHint: tool.source === 'external',
    },
  }
}
