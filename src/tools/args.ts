import { createHash } from 'node:crypto'
import { createContext, Script } from 'node:vm'
import { Ajv, type ErrorObject, type Options, type ValidateFunction } from 'ajv'
import { Ajv2020 } from 'ajv/dist/2020.js'
import addFormats from 'ajv-formats'
import type { ErrorDetail } from '../core/error.ts'
import { addBoundedKeywords, boundedRegExp, TooLong } from './bounded-checks.ts'
import { makeCheckBudget } from './check-budget.ts'
import { isPlainSchema } from './plain-schema.ts'

const MAX_COMPILED = 500
const MAX_ARGS_BYTES = 262_144
const MAX_ARGS_DEPTH = 64
const MAX_DETAILS = 20
const MAX_CHECK_MS = 500
/** Bytes of a plain schema times bytes of the arguments, up to which a check ends by itself within some ten milliseconds. */
const MAX_UNTIMED = 1_000_000
const OPTIONS: Options = {
  // Schemas come from people and other tools: what a dialect does not know is ignored, not refused.
  strict: false,
  allErrors: true,
  logger: false,
  validateFormats: true,
  ownProperties: true,
  code: { regExp: boundedRegExp },
}

export type JsonSchema = Readonly<Record<string, unknown>>

interface Compiled {
  readonly validate: ValidateFunction
  /** Bytes of arguments that it checks without a time limit. */
  readonly untimedBytes: number
}

type Dialect = typeof Ajv | typeof Ajv2020

/**
 * Checks a tool's arguments against its JSON Schema (2020-12, or draft-07 where `$schema` says so), with messages that a
 * model can correct itself by. Compiled schemas are kept, the one that was used longest ago is dropped first.
 *
 * Schemas and arguments are strangers': beside the rules for schemas, a check has a time limit that also ends a regular
 * expression in the middle, so that no schema can hold up the process. Setting the limit takes longer than most checks: small
 * arguments of a plain schema need none.
 */
export function makeArgsValidator() {
  const compiled = new Map<string, Compiled>()
  const metaOf = new Map<Dialect, Ajv>()
  const check = makeTimedCheck()
  const budget = makeCheckBudget(() => performance.now())

  /** Throws where the schema cannot be compiled. */
  function compile(schema: JsonSchema): Compiled {
    const text = JSON.stringify(schema)
    const key = createHash('sha256').update(text).digest('base64')
    const known = compiled.get(key) ?? {
      validate: compileAnew(schema),
      untimedBytes: isPlainSchema(schema) ? MAX_UNTIMED / Buffer.byteLength(text) : 0,
    }
    compiled.delete(key)
    compiled.set(key, known)
    const [oldest] = compiled.keys()
    if (compiled.size > MAX_COMPILED && oldest !== undefined) compiled.delete(oldest)
    return known
  }

  function compileAnew(schema: JsonSchema): ValidateFunction {
    const Class = dialectOf(schema.$schema)
    const { $schema: _, ...plain } = schema
    const meta = metaOf.get(Class) ?? new Class(OPTIONS)
    metaOf.set(Class, meta)
    if (meta.validateSchema(plain) !== true) throw new Error(meta.errorsText(meta.errors))
    // An instance for each schema: one schema's `$id` must not be seen by another's `$ref`.
    const ajv = new Class({ ...OPTIONS, validateSchema: false })
    addFormats.default(ajv)
    addBoundedKeywords(ajv)
    return ajv.compile(plain)
  }

  return {
    compile,

    /**
     * What is wrong with the arguments: nothing, or details with paths like `args.city`.
     *
     * @param orgId whose time it takes
     * @throws AppError `RATE_LIMITED` where the org's checks have taken too much of it
     */
    validate: (schema: JsonSchema, args: unknown, orgId: string): ErrorDetail[] => {
      const bounds = boundsOf(args)
      if (typeof bounds === 'string') return [{ path: 'args', message: bounds }]
      const { validate, verdict } = budget(orgId, () => {
        const { validate, untimedBytes } = compile(schema)
        const run = () => validate(args)
        const isTimed = bounds.bytes > untimedBytes
        return { validate, verdict: isTimed ? check(run) : verdictOf(run()) }
      })
      if (verdict === 'fits') return []
      if (verdict === 'too costly') {
        return [{ path: 'args', message: 'take too long to check; send less, or simpler ones' }]
      }
      const errors = validate.errors ?? []
      const details = errors.slice(0, MAX_DETAILS).map(toDetail)
      const more = errors.length - details.length
      return more === 0 ? details : [...details, { path: 'args', message: `${more} more problems` }]
    },
  }
}

function dialectOf(uri: unknown): Dialect {
  if (uri === undefined) return Ajv2020
  if (typeof uri === 'string' && uri.includes('draft-07')) return Ajv
  if (typeof uri === 'string' && uri.includes('2020-12')) return Ajv2020
  throw new Error('$schema: must be 2020-12 or draft-07')
}

/** The size of arguments, or why they are not even worth checking. */
function boundsOf(args: unknown): string | { readonly bytes: number } {
  if (typeof args !== 'object' || args === null || Array.isArray(args)) return 'must be an object'
  if (isDeeper(args, MAX_ARGS_DEPTH)) return `are nested deeper than ${MAX_ARGS_DEPTH} levels`
  const bytes = Buffer.byteLength(JSON.stringify(args))
  return bytes > MAX_ARGS_BYTES ? `are ${bytes} bytes, over ${MAX_ARGS_BYTES}` : { bytes }
}

function verdictOf(isFine: unknown): 'fits' | 'does not fit' {
  return isFine === true ? 'fits' : 'does not fit'
}

function isDeeper(value: unknown, levels: number): boolean {
  if (typeof value !== 'object' || value === null) return false
  return levels === 0 || Object.values(value).some((entry) => isDeeper(entry, levels - 1))
}

/** Node's vm is the only thing that can end synchronous code; the code itself is ours, no sandbox is meant. */
function makeTimedCheck() {
  const context: { run?: () => unknown } = {}
  const globals = createContext(context)
  const script = new Script('run()')
  return (run: () => unknown): 'fits' | 'does not fit' | 'too costly' => {
    context.run = run
    try {
      return verdictOf(script.runInContext(globals, { timeout: MAX_CHECK_MS }))
    } catch (error) {
      if (isOutOfBounds(error)) return 'too costly'
      throw error
    } finally {
      delete context.run
    }
  }
}

/** Out of time or out of stack. Such errors may be of the context's own classes, so `instanceof` does not know them. */
function isOutOfBounds(error: unknown): boolean {
  if (error instanceof TooLong) return true
  if (typeof error !== 'object' || error === null) return false
  const isTimeout = 'code' in error && error.code === 'ERR_SCRIPT_EXECUTION_TIMEOUT'
  return isTimeout || ('name' in error && error.name === 'RangeError')
}

/** Keywords that name a member of the object they stand at. */
const MEMBER_PARAMS: Readonly<Record<string, string>> = {
  required: 'missingProperty',
  dependentRequired: 'missingProperty',
  additionalProperties: 'additionalProperty',
  unevaluatedProperties: 'unevaluatedProperty',
}

function toDetail(error: ErrorObject): ErrorDetail {
  const segments = error.instancePath.split('/').slice(1).map(unescapePointer)
  const param = MEMBER_PARAMS[error.keyword]
  if (param !== undefined) segments.push(String(error.params[param]))
  return { path: ['args', ...segments].join('.'), message: messageOf(error) }
}

function messageOf({ keyword, params, message }: ErrorObject): string {
  switch (keyword) {
    case 'required':
      return 'is missing'
    case 'additionalProperties':
    case 'unevaluatedProperties':
      return 'is not an argument of this tool'
    case 'enum':
      return `must be one of ${shown(params.allowedValues)}`
    case 'const':
      return `must be ${shown(params.allowedValue)}`
    default:
      return message ?? 'is not valid'
  }
}

function shown(value: unknown): string {
  const text = JSON.stringify(value)
  return text.length <= 500 ? text : `${text.slice(0, 500).toWellFormed()}…`
}

/** A segment of a JSON pointer. [RFC 6901 §4] */
function unescapePointer(segment: string): string {
  return segment.replaceAll('~1', '/').replaceAll('~0', '~')
}
