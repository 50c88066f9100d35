import { expect, test } from 'vitest'
import type { CatalogTool } from './catalog.ts'
import { formatTools } from './formats.ts'

const argsSchema = { type: 'object', properties: { title: { type: 'string' } } }
const TOOL: CatalogTool = {
  name: 'jira.createIssue',
  wireName: 'jira_createIssue',
  description: 'Creates an issue.',
  argsSchema,
  source: 'external',
  integrationId: '01a1f3c2-9d4e-7c11-8a51-6f0e2b7d9c02',
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
  ['mcp', { name, title: TOOL.name, description, inputSchema: argsSchema }],
] as const)(
  '%s has its own shape, and the wire name wherever a model calls by it',
  (format, shape) => {
    expect(formatTools([TOOL], format)).toEqual([shape])
  },
)
