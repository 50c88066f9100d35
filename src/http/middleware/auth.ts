import type { Context } from 'hono'
import { createMiddleware } from 'hono/factory'
import type { Requirement } from '../../auth/permissions.ts'
import type { Authorize } from '../../auth/principal.ts'
import { unauthenticated, type VerifyToken } from '../../auth/token.ts'
import { AppError } from '../../core/error.ts'
import { isOrgId } from '../../core/id.ts'
import type { AppEnv } from '../env.ts'

interface AuthenticateDeps {
  readonly verifyToken: VerifyToken
  readonly authorize: Authorize
  readonly idempotency: AppEnv['Variables']['idempotency']
}

/** Says who is asking, from the bearer token; nobody passes without. */
export function authenticate({ verifyToken, authorize, idempotency }: AuthenticateDeps) {
  return createMiddleware<AppEnv>(async (c, next) => {
    const token = /^Bearer +(\S+)$/i.exec(c.req.header('authorization') ?? '')?.[1]
    if (token === undefined) throw unauthenticated()
    const principal = await verifyToken(token)
    c.set('principal', principal)
    c.set('idempotency', idempotency)
    c.set('authorize', (orgId, requirement) =>
      isOrgId(orgId)
        ? authorize(principal, orgId, requirement)
        : Promise.reject(new AppError('NOT_FOUND', 'No such org.')),
    )
    await next()
  })
}

/** The path's org must grant this to the principal. Stands before validation, so that a stranger learns nothing. */
export function requires(requirement: Requirement) {
  return createMiddleware<AppEnv>(async (c, next) => {
    const orgId = c.req.param('orgId') ?? ''
    await c.get('authorize')(orgId, requirement)
    await next()
  })
}

/** Whether the principal, who was let in already, may do more in the org. */
export function mayIn(c: Context<AppEnv>, orgId: string) {
  return async (permission: Requirement): Promise<boolean> => {
    try {
      await c.get('authorize')(orgId, permission)
      return true
    } catch (error) {
      if (error instanceof AppError && error.code === 'FORBIDDEN') return false
      throw error
    }
  }
}

/** The same for routes that name the org in the query or the body. */
export function requiresOfNamedOrg(requirement: Requirement) {
  return createMiddleware<AppEnv>(async (c, next) => {
    // HEAD is answered by the route of GET.
    const isRead = c.req.method === 'GET' || c.req.method === 'HEAD'
    const orgId: unknown = isRead ? c.req.query('orgId') : orgIdOf(await c.req.text())
    // Where none is named, validation says so.
    if (typeof orgId === 'string' && orgId !== '') await c.get('authorize')(orgId, requirement)
    await next()
  })
}

function orgIdOf(body: string): unknown {
  const parsed: unknown = body === '' ? null : JSON.parse(body)
  return typeof parsed === 'object' && parsed !== null && 'orgId' in parsed ? parsed.orgId : null
}

export const requiresSuperadmin = createMiddleware<AppEnv>(async (c, next) => {
  if (!c.get('principal').isSuperadmin) {
    throw new AppError('FORBIDDEN', 'This needs a super-admin.')
  }
  await next()
})
