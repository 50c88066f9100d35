import { z } from 'zod'
import { headersProblem } from './header.ts'

const MAX_URL_LENGTH = 2048
const MIN_TIMEOUT_MS = 100
const MAX_TIMEOUT_MS = 30_000
const NO_PLACEHOLDER = 'has a placeholder that nothing fills in; there is {{credentials.name}}'
const CREDENTIAL = /\{\{\s*credentials\.[A-Za-z][A-Za-z0-9_]*\s*\}\}/g

/**
 * The config of an integration whose tools are those of an MCP server. It is shown to whoever may see the integration: what
 * is secret stands in the credentials, and `{{credentials.name}}` is filled in when the server is called.
 */
export const mcpConfig = z.strictObject({
  url: z
    .string()
    .min(1)
    .max(MAX_URL_LENGTH)
    .superRefine((url, context) => {
      const message = urlProblem(url)
      if (message !== null) context.addIssue({ code: 'custom', message })
    })
    .meta({ description: 'Of the server: https, Streamable HTTP.' }),
  headers: z
    .record(z.string(), z.string())
    .superRefine((headers, context) => {
      const problem = mcpHeadersProblem(headers)
      if (problem === null) return
      const path = problem.name === '' ? [] : [problem.name]
      context.addIssue({ code: 'custom', path, message: problem.message })
    })
    .optional()
    .meta({ description: 'Like { "Authorization": "Bearer {{credentials.token}}" }.' }),
  prefix: z
    .string()
    .regex(
      /^[a-zA-Z][a-zA-Z0-9_-]{0,31}$/,
      'must start with a letter and have at most 32 letters, digits, _ and -',
    )
    .optional()
    .meta({ description: 'Of the names of its tools; left out: made of the integration’s name.' }),
  approval: z
    .enum(['ask', 'auto'])
    .optional()
    .meta({ description: 'Of tools that it brings: ask (as where it is left out), or auto.' }),
  timeoutMs: z.int().min(MIN_TIMEOUT_MS).max(MAX_TIMEOUT_MS).optional(),
})

export type McpConfig = z.output<typeof mcpConfig>

/** Whether it may be called at all is judged where it is saved, and when it is called. */
function urlProblem(text: string): string | null {
  const origin = /^https?:\/\/[^/?#]*/i.exec(text)?.[0]
  if (origin === undefined || !URL.canParse(text)) return 'must be an https URL'
  if (origin.includes('{')) return 'must not have placeholders in its host'
  return /[{}]/.test(withoutFillings(text)) ? NO_PLACEHOLDER : null
}

function mcpHeadersProblem(headers: Readonly<Record<string, string>>) {
  for (const [name, value] of Object.entries(headers)) {
    // Those of the protocol are made from each request. [MCP 2026-07-28, Streamable HTTP]
    if (/^(?:mcp[-_]|accept$|last-event-id$)/i.test(name)) {
      return { name, message: 'is set by the protocol, and cannot be set here' }
    }
    const message = fillingProblem(value)
    if (message !== null) return { name, message }
  }
  const filled = Object.entries(headers).map(([name, value]) => [name, withoutFillings(value)])
  return headersProblem(Object.fromEntries(filled))
}

function fillingProblem(text: string): string | null {
  return /\{\{|\}\}/.test(withoutFillings(text)) ? NO_PLACEHOLDER : null
}

function withoutFillings(text: string): string {
  return text.replaceAll(CREDENTIAL, 'x')
}
