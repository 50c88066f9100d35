import type Anthropic from '@anthropic-ai/sdk'
import type { FunctionDeclaration } from '@google/genai'
import { isSpecType, type Tool } from '@modelcontextprotocol/server'
import type OpenAI from 'openai'
import { expect, test } from 'vitest'
import { HOSTILE_SCHEMAS } from '../../test/corpus/hostile-schemas.ts'
import {
  anthropicToolProblem,
  geminiToolProblem,
  openAiToolProblem,
} from '../../test/doubles/tool-rules.ts'
import { wireNameOf } from '../core/tool-name.ts'
import type { CatalogTool } from './catalog.ts'
import {
  formatTools,
  TOOL_FORMATS,
  toAnthropicTool,
  toGeminiTool,
  toMcpTool,
  toOpenAiResponsesTool,
  toOpenAiTool,
} from './formats.ts'

const argsSchema = {
  type: 'object',
  properties: { title: { type: 'string' } },
  required: ['title'],
  additionalProperties: false,
} as const
const TOOL: CatalogTool = {
  name: 'jira.createIssue',
  wireName: 'jira_createIssue',
  description: 'Creates an issue.',
  argsSchema,
  source: 'external',
  integrationId: '01a1f3c2-9d4e-7c11-8a51-6f0e2b7d9c02',
  outputSchema: null,
  approval: 'ask',
  isReadOnly: false,
  isIdempotent: false,
  isRemote: false,
}
const name = TOOL.wireName
const description = TOOL.description

test.each([
  ['native', TOOL],
  ['openai', { type: 'function', function: { name, description, parameters: argsSchema } }],
  [
    'openai-responses',
    { type: 'function', name, description, parameters: argsSchema, strict: false },
  ],
  ['anthropic', { name, description, input_schema: argsSchema }],
  ['gemini', { name, description, parametersJsonSchema: argsSchema }],
  [
    'mcp',
    {
      name,
      title: TOOL.name,
      description,
      inputSchema: argsSchema,
      annotations: {
        readOnlyHint: false,
        destructiveHint: true,
        idempotentHint: false,
        openWorldHint: true,
      },
    },
  ],
] as const)(
  '%s has its own shape, and the wire name wherever a model calls by it',
  (format, shape) => {
    expect(formatTools([TOOL], format)).toEqual([shape])
  },
)

test('the shapes are those of the official packages', () => {
  // Checked by the compiler: what is here is what the packages take.
  const tools = {
    openai: [toOpenAiTool(TOOL)] satisfies OpenAI.ChatCompletionTool[],
    responses: [toOpenAiResponsesTool(TOOL)] satisfies OpenAI.Responses.Tool[],
    anthropic: [toAnthropicTool(TOOL)] satisfies Anthropic.ToolUnion[],
    gemini: [toGeminiTool(TOOL)] satisfies FunctionDeclaration[],
    mcp: [toMcpTool(TOOL)] satisfies Tool[],
  }
  expect(Object.values(tools).flat()).toHaveLength(TOOL_FORMATS.length - 1)
})

test('MCP learns what a tool gives back, and that a GET changes nothing', () => {
  const outputSchema = { type: 'array', items: { type: 'string' } }
  const read = { ...TOOL, outputSchema, isReadOnly: true, isIdempotent: true }
  const formatted = toMcpTool({ ...read, source: 'builtin' })
  expect(formatted).toMatchObject({
    outputSchema,
    annotations: {
      readOnlyHint: true,
      destructiveHint: false,
      idempotentHint: true,
      openWorldHint: false,
    },
  })
  expect(isSpecType.Tool(formatted)).toBe(true)
})

const HOSTILE_NAMES = [
  'a',
  'jira.createIssue',
  'a..b__c--d',
  'A-'.repeat(60),
  `x${'.'.repeat(127)}`,
  `tool.${'very.'.repeat(24)}long`,
  'constructor',
  'toString',
]

test.each(HOSTILE_SCHEMAS.map((entry) => [entry.is, entry.schema] as const))(
  'each API takes a tool whose schema %s, whatever the tool is called',
  (_, schema) => {
    for (const each of HOSTILE_NAMES) {
      const wireName = wireNameOf(each, 'b5bb9d8014a0', () => false)
      const tool = { ...TOOL, name: each, wireName, argsSchema: schema }
      const openai = toOpenAiTool(tool).function
      expect(openAiToolProblem('tools[0].function', openai.name, openai.parameters)).toBeNull()
      const { name: called, parameters } = toOpenAiResponsesTool(tool)
      expect(openAiToolProblem('tools[0]', called, parameters)).toBeNull()
      const anthropic = toAnthropicTool(tool)
      expect(anthropicToolProblem(0, anthropic.name, anthropic.input_schema)).toBeNull()
      const gemini = toGeminiTool(tool)
      expect(geminiToolProblem(0, gemini.name, gemini.parametersJsonSchema)).toBeNull()
      expect(isSpecType.Tool(toMcpTool(tool))).toBe(true)
    }
  },
)

test('without a wire schema, most of those schemas are refused by some API', () => {
  const refused = HOSTILE_SCHEMAS.filter(
    ({ schema }) =>
      openAiToolProblem('tools[0].function', 'a', schema) !== null ||
      anthropicToolProblem(0, 'a', schema) !== null ||
      geminiToolProblem(0, 'a', schema) !== null,
  )
  expect(refused.length).toBeGreaterThan(HOSTILE_SCHEMAS.length / 2)
})
