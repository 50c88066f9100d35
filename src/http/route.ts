import { createRoute, OpenAPIHono, type RouteConfig } from '@hono/zod-openapi'
import { AppError, notFound } from '../core/error.ts'
import type { AppEnv } from './env.ts'
import { idempotent } from './middleware/idempotency.ts'
import { problem } from './schemas.ts'

const problems = {
  default: {
    content: { 'application/problem+json': { schema: problem } },
    description: 'What went wrong; `error` is a stable code.',
  },
}

/**
 * Declares a route of the API: the schemas here validate requests and stand in the OpenAPI document. A POST takes an
 * `Idempotency-Key`, looked at after the route's own check of permissions.
 */
export function route<Path extends string, Config extends Omit<RouteConfig, 'path'>>(
  config: Config & { path: Path },
) {
  const own = [config.middleware ?? []].flat()
  return createRoute({
    security: [{ bearer: [] }],
    ...config,
    middleware: config.method === 'post' ? [...own, idempotent] : own,
    responses: { ...config.responses, ...problems },
    // The middlewares of the API share one environment; what differs in the type is their order only.
  } as Config & { path: Path; responses: Config['responses'] })
}

/** A wrong body is not sent back whole. */
const MAX_DETAILS = 20
const MAX_TEXT = 300

function cut(text: string): string {
  return text.length <= MAX_TEXT ? text : `${text.slice(0, MAX_TEXT).toWellFormed()}…`
}

interface Issue {
  readonly path: readonly PropertyKey[]
  readonly message: string
}

/** A router whose failed validation is thrown as the error it is. */
export function makeRouter() {
  return new OpenAPIHono<AppEnv>({
    defaultHook: (result) => {
      if (!result.success) throw invalid(result.target, result.error.issues)
    },
  })
}

function invalid(target: string, issues: readonly Issue[]): AppError {
  if (target === 'param') return notFound('resource')
  const details = issues.slice(0, MAX_DETAILS).map((issue) => ({
    path: cut(issue.path.map(String).join('.')),
    message: cut(issue.message),
  }))
  const [first] = details
  const text = first === undefined ? 'not valid' : `${first.path || 'body'}: ${first.message}`
  const code = target === 'query' ? 'INVALID_QUERY' : 'INVALID_BODY'
  return new AppError(code, text, { details })
}
