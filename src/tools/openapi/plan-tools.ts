import { AppError } from '../../core/error.ts'
import type { JsonSchema } from '../args.ts'
import { assertHttpConfig, httpConfigSchema } from '../http-config.ts'
import { assertSafeSchema, schemaProblem } from '../schema-rules.ts'
import { isStorable } from '../storable.ts'
import { makeConverter } from './convert-schema.ts'
import { type KeptTool, keptTool } from './merge-tool.ts'
import { memberOf, textOf } from './node.ts'
import { listOperations, type Operation } from './operation.ts'
import { operationBody } from './operation-body.ts'
import { operationName } from './operation-name.ts'
import { operationParameters } from './operation-parameters.ts'
import { type OperationOutput, outputSchema } from './output-schema.ts'
import { plainText } from './plain-text.ts'
import type { PlannedTool } from './planned-tool.ts'
import type { ReadDocument } from './read-document.ts'
import { type Follow, makeFollow } from './reference.ts'
import { makeSecurity, type NeededCredential } from './security.ts'
import { homeOf, originOf, serverUrl } from './server-url.ts'
import { Unusable } from './unusable.ts'

const MAX_OPERATIONS = 2000
/** What a tool is known by in its document. */
const MAX_KEY_LENGTH = 500
const MAX_DESCRIPTION_LENGTH = 1024
/** Of the arguments' schema, in turn: the first is a little below what a tool's may have. */
const ARGUMENT_NODES = [900, 450, 200]
/** What a result looks like is only a help, and read with every list of tools. */
const RESULT_NODES = [200, 80]

export type OperationVerdict = {
  readonly operation: string
  readonly operationId: string | null
} & (
  | {
      readonly kind: 'tool'
      readonly tool: PlannedTool
      /** To be kept beside it. */
      readonly kept: KeptTool
      readonly warnings: readonly string[]
    }
  | { readonly kind: 'skipped'; readonly reason: string }
)

export interface ToolPlan {
  readonly kind: 'plan'
  readonly title: string
  readonly version: string
  readonly hash: string
  readonly verdicts: readonly OperationVerdict[]
  readonly credentials: readonly (NeededCredential & { readonly isPresent: boolean })[]
}

export interface PlanOptions {
  /** In place of the document's servers. */
  readonly baseUrl: string | null
  /** Names of the integration's credentials. */
  readonly credentials: readonly string[]
  /** Of the integration in the API, for who has to add a credential. */
  readonly integrationPath: string
  readonly compile: (schema: JsonSchema) => unknown
}

type Security = ReturnType<typeof makeSecurity>

/** What becomes of each operation of a document, in its order. */
export function planTools(read: ReadDocument, options: PlanOptions): ToolPlan {
  const { document, title, version, hash } = read
  const follow = makeFollow(document)
  const security = makeSecurity(document, follow)
  const needed = new Map<string, NeededCredential>()
  const home = homeOf(document, options.baseUrl)
  const found = listOperations(document, follow)
  const verdicts = found.map((one, at): OperationVerdict => {
    if (one.kind === 'unusable') {
      return { operation: one.key, operationId: null, kind: 'skipped', reason: one.reason }
    }
    const { operation } = one
    const about = { operation: operation.key, operationId: operation.operationId }
    const skipped = (reason: string) => ({ ...about, kind: 'skipped', reason }) as const
    if (at >= MAX_OPERATIONS) return skipped(`the document has over ${MAX_OPERATIONS} operations`)
    try {
      return {
        ...about,
        kind: 'tool',
        ...planTool(operation, { follow, security, needed, home, options }),
      }
    } catch (error) {
      if (error instanceof Unusable) return skipped(error.message)
      if (error instanceof AppError) return skipped(`cannot be a tool: ${error.message}`)
      throw error
    }
  })
  const isPresent = (name: string) => options.credentials.includes(name)
  const credentials = [...needed.values()].map((one) => ({
    ...one,
    isPresent: isPresent(one.name),
  }))
  return { kind: 'plan', title, version, hash, verdicts, credentials }
}

interface Context {
  readonly follow: Follow
  readonly security: Security
  /** Grows by what the operations need. */
  readonly needed: Map<string, NeededCredential>
  /** Where credentials go. */
  readonly home: string | null
  readonly options: PlanOptions
}

function planTool(operation: Operation, context: Context) {
  if (operation.isWanted === false) throw new Unusable('the document says x-mcp: false')
  const { options, security, needed, home } = context
  const url = serverUrl(operation, options.baseUrl)
  const { headers, query, credentials } = security.choose(operation, (name) =>
    options.credentials.includes(name),
  )
  for (const credential of credentials) needed.set(credential.name, credential)
  const args = withinBudget(
    ARGUMENT_NODES,
    (maxNodes) => planArguments(operation, maxNodes, context),
    (planned) => schemaProblem(planned.schema, options.compile),
  )
  const output = planOutput(operation, context)
  const accept = output.mediaType === null ? {} : { Accept: output.mediaType }
  const all = { ...accept, ...headers }
  const httpConfig = {
    method: operation.method,
    url: url + args.path,
    ...(isEmpty(all) ? {} : { headers: all }),
    ...(isEmpty(query) ? {} : { query }),
    ...(args.parameters.length === 0 ? {} : { parameters: args.parameters }),
    ...(args.payload === null ? { body: 'none' as const } : { payload: args.payload }),
    ...(takesIdempotencyKey(operation) ? { isIdempotent: true } : {}),
  }
  const tool = {
    name: operationName(operation),
    description: describe(operation),
    argsSchema: args.schema,
    outputSchema: output.schema,
    httpConfig,
    ...defaultsOf(operation),
  }
  assertTool(operation, tool, options)
  // What is wrong for good has been said before; what follows can be mended.
  if (credentials.length > 0) assertAtHome(url, home, operation)
  const missing = credentials.filter(({ name }) => !options.credentials.includes(name))
  if (missing.length > 0) throw new Unusable(askFor(missing, options.integrationPath))
  const { name: _, ...described } = tool
  const warnings = [...args.warnings, ...output.warnings]
  return { tool, kept: keptTool(described), warnings }
}

/** A server of its own may be anybody's: nobody but the org says which hosts get its credentials. */
function assertAtHome(url: string, home: string | null, { key, node }: Operation): void {
  if (originOf(url) === home) return
  const whose = home === null ? 'no host that anybody has named' : `${home} alone`
  const one = JSON.stringify(textOf(node, 'operationId') || key)
  throw new Unusable(
    `needs credentials, which go to ${whose}, and has a server of its own, ${url.slice(0, 200)}: to send them there import it by itself, with { "baseUrl": ${JSON.stringify(url.slice(0, 200))}, "operations": [${one}] }`,
  )
}

function planArguments(operation: Operation, maxNodes: number, { follow, security }: Context) {
  const warnings: string[] = []
  const warn = (text: string) => void warnings.push(text)
  const converter = makeConverter({ follow, direction: 'request', maxNodes })
  const { isSecret } = security
  const given = operationParameters(operation, { converter, isSecret, warn })
  const taken = new Set(given.map(({ parameter }) => parameter.arg))
  const body = operationBody(operation, { follow, converter, taken, warn })
  const required = [
    ...given.filter(({ isRequired }) => isRequired).map(({ parameter }) => parameter.arg),
    ...(body?.required ?? []),
  ]
  const properties = {
    ...Object.fromEntries(given.map(({ parameter, schema }) => [parameter.arg, schema])),
    ...body?.properties,
  }
  const additionalProperties = body?.additionalProperties ?? false
  const { defs, warnings: lost } = converter.finish()
  return {
    schema: {
      type: 'object',
      properties,
      ...(required.length === 0 ? {} : { required }),
      additionalProperties,
      ...(isEmpty(defs) ? {} : { $defs: defs }),
    },
    parameters: given.map(({ parameter }) => parameter),
    payload: body?.payload ?? null,
    path: pathOf(operation, given),
    warnings: [...warnings, ...lost],
  }
}

/** Its path with the arguments in their places; everything else in it is only text. */
function pathOf({ path }: Operation, given: ReturnType<typeof operationParameters>): string {
  return path.replace(/\{([^{}/]+)\}|[^{]+|\{/g, (text, name: string | undefined) => {
    const found = given.find(({ parameter }) => parameter.in === 'path' && parameter.name === name)
    return found === undefined ? encodeLiteral(text) : `{args.${found.parameter.arg}}`
  })
}

/** What is encoded already stays so; a brace never makes a placeholder. */
function encodeLiteral(text: string): string {
  return encodeURI(text.toWellFormed())
    .replace(/%25([0-9A-Fa-f]{2})/g, '%$1')
    .replaceAll('#', '%23')
}

function planOutput(operation: Operation, { follow, options }: Context): OperationOutput {
  const none = { schema: null, mediaType: null }
  try {
    return withinBudget(
      RESULT_NODES,
      (maxNodes) =>
        outputSchema(operation, follow, makeConverter({ follow, direction: 'response', maxNodes })),
      ({ schema }) => {
        if (schema === null) return null
        return isStorable(schema) ? schemaProblem(schema, options.compile) : 'cannot be stored'
      },
    )
  } catch (error) {
    // What it answers is good to know, and no reason not to call it.
    if (!(error instanceof Unusable)) throw error
    return { ...none, warnings: [`the schema of its result is left out: ${error.message}`] }
  }
}

/** @throws Unusable where it is too large however much is simplified, or wrong otherwise */
function withinBudget<Made>(
  budgets: readonly number[],
  make: (maxNodes: number) => Made,
  problemOf: (made: Made) => string | null,
): Made {
  let problem = ''
  for (const maxNodes of budgets) {
    const made = make(maxNodes)
    const found = problemOf(made)
    if (found === null) return made
    problem = found
  }
  throw new Unusable(`has a schema that ${problem}`)
}

/** Reading ones are on; what changes something is off, and asks. */
function defaultsOf({ method, node }: Operation) {
  const isReading = method === 'GET'
  const isConsequential = memberOf(node, 'x-openai-isConsequential')
  const asks = typeof isConsequential === 'boolean' ? isConsequential : !isReading
  return {
    isEnabled: isReading && node.deprecated !== true,
    approval: asks ? ('ask' as const) : ('auto' as const),
  }
}

/** It is sent with every call, so that who understands it runs a repeated one once. */
function takesIdempotencyKey({ parameters }: Operation): boolean {
  return parameters.some(
    (one) => one.in === 'header' && textOf(one, 'name').toLowerCase() === 'idempotency-key',
  )
}

function describe({ node, key }: Operation): string {
  const summary = plainText(textOf(node, 'summary'), MAX_DESCRIPTION_LENGTH)
  const description = plainText(textOf(node, 'description'), MAX_DESCRIPTION_LENGTH)
  const parts = description.startsWith(summary) ? [description] : [summary, description]
  const whole = parts.filter((part) => part !== '').join('\n\n')
  return plainText(whole === '' ? key : whole, MAX_DESCRIPTION_LENGTH)
}

/** By the rules for any tool, but for whether the host may be called. */
function assertTool(
  { key }: Operation,
  tool: PlannedTool,
  { credentials, compile }: PlanOptions,
): void {
  if (key.length > MAX_KEY_LENGTH) {
    throw new Unusable(`has a path of over ${MAX_KEY_LENGTH} characters`)
  }
  const parsed = httpConfigSchema.safeParse(tool.httpConfig)
  if (!parsed.success) {
    const [issue] = parsed.error.issues
    throw new Unusable(`cannot be called: ${issue?.path.join('.') ?? ''} ${issue?.message ?? ''}`)
  }
  assertSafeSchema(tool.argsSchema, compile)
  const fillings = [...JSON.stringify(tool.httpConfig).matchAll(/\{\{credentials\.(\w+)/g)]
  const known = {
    credentials: [...credentials, ...fillings.map(([, name = '']) => name)],
    config: [],
  }
  assertHttpConfig(tool.httpConfig, known, () => null)
  if (!isStorable([key, tool])) {
    throw new Unusable('has texts with the character U+0000, or half a character')
  }
}

function askFor(missing: readonly NeededCredential[], integrationPath: string): string {
  const names = missing.map(({ name, description }) => `"${name}": ${description}`)
  const members = missing.map(({ name }) => `"${name}": "…"`).join(', ')
  const what = missing.length === 1 ? 'the credential' : 'the credentials'
  return `needs ${what} ${names.join(' And ')} PATCH ${integrationPath} { "credentials": { ${members} } }, together with those that the integration has already, then import again.`
}

function isEmpty(value: object): boolean {
  return Object.keys(value).length === 0
}
