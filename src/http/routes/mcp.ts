import { createMiddleware } from 'hono/factory'
import { AppError } from '../../core/error.ts'
import { isOrgId } from '../../core/id.ts'
import type { makeMcpServer } from '../../tools/mcp/server/serve.ts'
import { actorOf } from '../actor.ts'
import type { AppEnv } from '../env.ts'
import { mayIn, requires } from '../middleware/auth.ts'
import { makeRouter } from '../route.ts'

const WELL_KNOWN = '/.well-known/oauth-protected-resource'
const LOOPBACK = /^http:\/\/(?:localhost|127\.\d+\.\d+\.\d+|\[::1\])(?::\d+)?$/

export interface McpAccess {
  /** Where clients reach this API; null: not known. */
  readonly publicUrl: string | null
  /** Of web pages that may call the API. */
  readonly corsOrigins: readonly string[]
  /** The identity provider whose tokens are taken, as the URL it is known by; null: it has none. */
  readonly issuer: string | null
}

export interface McpRoutesDeps {
  readonly mcp: ReturnType<typeof makeMcpServer>
  readonly mcpAccess: McpAccess
}

/**
 * An org's tools for MCP clients. The body and the answer are MCP's, so neither stands in the OpenAPI document; what keeps a
 * request from getting here is answered as everywhere.
 */
export function mcpRoutes({ mcp }: McpRoutesDeps) {
  return makeRouter().on(
    ['GET', 'POST', 'DELETE'],
    '/orgs/:orgId/mcp',
    requires('org:tools:use'),
    async (c) => {
      const { method, headers, signal } = c.req.raw
      const text = method === 'POST' ? await c.req.text() : ''
      const orgId = c.req.param('orgId')
      // The request itself has been read already.
      const body = text === '' ? {} : { body: text }
      const request = new Request(c.req.url, { method, headers, signal, ...body })
      const response = await mcp(request, text === '' ? undefined : JSON.parse(text), {
        orgId,
        by: actorOf(c),
        traceparent: c.req.header('traceparent') ?? null,
        isPatchbay: /^Patchbay\//.test(c.req.header('user-agent') ?? ''),
        may: mayIn(c, orgId),
      })
      if (response.status === 405) response.headers.set('allow', 'POST')
      return response
    },
  )
}

/**
 * Stands before everything else at the address. A page of a site that is not known here gets nothing, whatever token it has:
 * a browser says whose page it is, and nobody else need say anything. Who has no token that holds is told where one is to be
 * had. [MCP 2026-07-28 §Transports, §Authorization]
 */
export function guardMcp(access: McpAccess) {
  return createMiddleware<AppEnv>(async (c, next) => {
    const origin = c.req.header('origin')
    if (origin !== undefined && !isKnown(access, origin, c.req.header('host'))) {
      throw new AppError('FORBIDDEN', 'Pages of this origin may not call the API (CORS_ORIGINS).')
    }
    // Behind `next` the path is that of another route.
    const orgId = c.req.param('orgId') ?? ''
    await next()
    if (c.res.status !== 401 || metadataOf(access, orgId) === null) return
    const reason = c.req.header('authorization') === undefined ? '' : 'error="invalid_token", '
    const url = `${access.publicUrl}${WELL_KNOWN}${pathOf(orgId)}`
    c.res.headers.set('www-authenticate', `Bearer ${reason}resource_metadata="${url}"`)
  })
}

function isKnown({ publicUrl, corsOrigins }: McpAccess, origin: string, host?: string): boolean {
  if (origin === publicUrl || corsOrigins.includes(origin)) return true
  // On one's own machine nobody need have said where the API is. The name is looked at, not only compared with the Host
  // header: a stranger's name may lead here too, and stands in both.
  return publicUrl === null && LOOPBACK.test(origin) && origin === `http://${host}`
}

/**
 * Who gives out tokens for an org's MCP server, for clients that get their own. Says nothing of whether there is such an org.
 * There is none of it where nobody configured an issuer. [RFC 9728]
 */
export function mcpMetadataRoutes(access: McpAccess) {
  return makeRouter().get(`${WELL_KNOWN}/orgs/:orgId/mcp`, (c) => {
    const metadata = metadataOf(access, c.req.param('orgId'))
    if (metadata === null) throw new AppError('NOT_FOUND', 'No such route.')
    return c.json(metadata)
  })
}

/** Without scopes: what somebody may do here stands with the org, and a token asks for none of it. */
function metadataOf({ issuer, publicUrl }: McpAccess, orgId: string) {
  if (issuer === null || publicUrl === null || !isOrgId(orgId)) return null
  return {
    resource: publicUrl + pathOf(orgId),
    resource_name: 'Patchbay: tools of an organization',
    authorization_servers: [issuer],
    bearer_methods_supported: ['header'],
  }
}

/** As a client writes it: nothing of an org id is escaped in a path. */
function pathOf(orgId: string): string {
  return `/orgs/${orgId}/mcp`
}
