import { createHash } from 'node:crypto'
import { Ajv, type ErrorObject, type Options, type ValidateFunction } from 'ajv'
import { Ajv2020 } from 'ajv/dist/2020.js'
import addFormats from 'ajv-formats'
import type { ErrorDetail } from '../core/error.ts'

const MAX_COMPILED = 500
const OPTIONS: Options = {
  // Schemas come from people and other tools: what a dialect does not know is ignored, not refused.
  strict: false,
  allErrors: true,
  logger: false,
  validateFormats: true,
  ownProperties: true,
}

export type JsonSchema = Readonly<Record<string, unknown>>

/**
 * Checks a tool's arguments against its JSON Schema (2020-12, or draft-07 where `$schema` says so), with messages that a
 * model can correct itself by. Compiled schemas are kept, the oldest dropped first.
 */
export function makeArgsValidator() {
  const compiled = new Map<string, ValidateFunction>()

  /** Throws where the schema cannot be compiled. */
  function compile(schema: JsonSchema): ValidateFunction {
    const key = createHash('sha256').update(JSON.stringify(schema)).digest('base64')
    const known = compiled.get(key)
    if (known !== undefined) return known
    // An instance for each schema: one schema's `$id` must not be seen by another's `$ref`.
    const validate = newAjv(schema).compile(schema)
    compiled.set(key, validate)
    const [oldest] = compiled.keys()
    if (compiled.size > MAX_COMPILED && oldest !== undefined) compiled.delete(oldest)
    return validate
  }

  return {
    compile,
    validate: (schema: JsonSchema, args: unknown): ErrorDetail[] => {
      const validate = compile(schema)
      return validate(args) ? [] : (validate.errors ?? []).map(toDetail)
    },
  }
}

function newAjv(schema: JsonSchema): Ajv {
  const isDraft7 = typeof schema.$schema === 'string' && schema.$schema.includes('draft-07')
  const ajv = isDraft7 ? new Ajv(OPTIONS) : new Ajv2020(OPTIONS)
  addFormats.default(ajv)
  return ajv
}

function toDetail(error: ErrorObject): ErrorDetail {
  const segments = error.instancePath.split('/').slice(1)
  if (error.keyword === 'required') segments.push(String(error.params.missingProperty))
  if (error.keyword === 'additionalProperties') {
    segments.push(String(error.params.additionalProperty))
  }
  const message =
    error.keyword === 'required'
      ? 'is missing'
      : error.keyword === 'additionalProperties'
        ? 'is not an argument of this tool'
        : error.keyword === 'enum'
          ? `must be one of ${JSON.stringify(error.params.allowedValues)}`
          : (error.message ?? 'is not valid')
  return { path: ['args', ...segments].join('.'), message }
}
