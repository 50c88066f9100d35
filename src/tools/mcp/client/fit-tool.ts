import { createHash } from 'node:crypto'
import { z } from 'zod'
import { AppError } from '../../../core/error.ts'
import type { JsonSchema } from '../../args.ts'
import { assertSafeSchema } from '../../schema-rules.ts'
import { isStorable } from '../../storable.ts'
import { cleanSchema, cleanText } from './clean-text.ts'
import { headerArgumentProblem } from './header-arguments.ts'

const MAX_NAME = 128
const MAX_KEY = 512
const MAX_DESCRIPTION = 1024
const MARK = 'Described by its MCP server: '

/** A tool as its server gives it, made fit to be one of an org's. */
export interface OfferedTool {
  /** Its name on the server. */
  readonly key: string
  readonly description: string
  readonly argsSchema: JsonSchema
  readonly outputSchema: JsonSchema | null
}

export interface SkippedTool {
  readonly name: string
  readonly reason: string
}

const schema = z.record(z.string(), z.unknown())

/** What is read of a tool. Its annotations are a stranger's word about himself, and are not. */
const remoteTool = z.looseObject({
  name: z.string().min(1),
  title: z.string().optional().catch(undefined),
  description: z.string().optional().catch(undefined),
  inputSchema: schema,
  outputSchema: schema.optional().catch(undefined),
})

type Compile = (schema: JsonSchema) => unknown

/** The tool, or why it is not taken. */
export function fitTool(
  given: unknown,
  compile: Compile,
): { readonly tool: OfferedTool } | { readonly skipped: SkippedTool } {
  const parsed = remoteTool.safeParse(given)
  if (!parsed.success) {
    const path = parsed.error.issues[0]?.path.map(String).join('.') ?? ''
    return skip(given, path === '' ? 'is no tool' : `its ${path} is missing or wrong`)
  }
  const { name, title, description, inputSchema, outputSchema } = parsed.data
  if (name.length > MAX_KEY) return skip(given, `its name is over ${MAX_KEY} characters`)
  if (!isStorable([name, inputSchema])) {
    return skip(given, 'it has the character U+0000, or half a character')
  }
  const argsSchema = asStored(cleanSchema(inputSchema))
  const problem = schemaProblem(argsSchema, compile) ?? headerArgumentProblem(argsSchema)
  if (problem !== null) return skip(given, `its inputSchema ${problem}`)
  const output = outputSchema === undefined ? null : asStored(cleanSchema(outputSchema))
  const isOutputSafe =
    output !== null && isStorable(output) && schemaProblem(output, compile) === null
  return {
    tool: {
      key: name,
      description: describe(description ?? '', title ?? ''),
      argsSchema,
      outputSchema: isOutputSafe ? output : null,
    },
  }
}

/** Without a description the title is one; without both, that is said. */
function describe(description: string, title: string): string {
  const own = cleanText(description, MAX_DESCRIPTION) || cleanText(title, MAX_DESCRIPTION)
  return cleanText(`${MARK}${own === '' ? 'not at all.' : own}`, MAX_DESCRIPTION)
}

function schemaProblem(given: JsonSchema, compile: Compile): string | null {
  try {
    assertSafeSchema(given, compile)
    return null
  } catch (error) {
    if (error instanceof AppError) return error.details[0]?.message ?? error.message
    throw error
  }
}

/** As it comes back from the database: JSON has no -0 and no infinity. */
function asStored(given: JsonSchema): JsonSchema {
  return schema.parse(JSON.parse(JSON.stringify(given)))
}

function skip(given: unknown, reason: string) {
  const name = z.looseObject({ name: z.string() }).safeParse(given).data?.name ?? ''
  return { skipped: { name: cleanText(name, MAX_NAME), reason } }
}

/**
 * The name of a server's tool among those of the org: its own after the prefix, with `_` for what no name may have. What was
 * cut, or is another's name already, gets a mark made of the whole.
 *
 * @param isTaken by another tool of the org, without regard to case
 */
export function toolNameOf(
  prefix: string,
  key: string,
  isTaken: (name: string) => boolean,
): string {
  const digest = createHash('sha256').update(`${prefix}.${key}`).digest('hex').slice(0, 6)
  const fit = key.replace(/[^a-zA-Z0-9_.-]+/g, '_')
  const whole = `${prefix}.${/[a-zA-Z0-9]/.test(fit) ? fit : 'tool'}`
  const mark = `_${digest}`
  const marked = whole.slice(0, MAX_NAME - mark.length) + mark
  if (whole.length > MAX_NAME) return marked
  return isTaken(whole) ? marked : whole
}

/** A prefix made of an integration's name. */
export function prefixOf(integrationName: string): string {
  const plain = integrationName
    .normalize('NFKD')
    .toLowerCase()
    .replace(/\p{M}/gu, '')
    .replace(/[^a-z0-9]+/g, '_')
    .replace(/^[^a-z]+|_+$/g, '')
    .slice(0, 32)
    .replace(/_+$/, '')
  return plain === '' ? 'mcp' : plain
}
