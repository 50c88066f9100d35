import type { CatalogTool } from './catalog.ts'

export const TOOL_FORMATS = [
  'native',
  'openai',
  'openai-responses',
  'anthropic',
  'gemini',
  'mcp',
] as const
export type ToolFormat = (typeof TOOL_FORMATS)[number]

/** The same tools in the shape that an API takes them in. The function's name is the wire name, which all of them accept. */
export function formatTools(tools: readonly CatalogTool[], format: ToolFormat): unknown[] {
  return tools.map((tool) => formatTool(tool, format))
}

function formatTool(tool: CatalogTool, format: ToolFormat): unknown {
  const { wireName: name, description, argsSchema } = tool
  switch (format) {
    case 'native':
      return tool
    case 'openai':
      return { type: 'function', function: { name, description, parameters: argsSchema } }
    case 'openai-responses':
      return { type: 'function', name, description, parameters: argsSchema, strict: false }
    case 'anthropic':
      return { name, description, input_schema: argsSchema }
    case 'gemini':
      return { name, description, parametersJsonSchema: argsSchema }
    case 'mcp':
      return { name, title: tool.name, description, inputSchema: argsSchema }
  }
}
