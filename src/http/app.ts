import type { makeIdempotency } from '../auth/idempotency.ts'
import type { Authorize } from '../auth/principal.ts'
import type { VerifyToken } from '../auth/token.ts'
import { AppError } from '../core/error.ts'
import type { Provider } from '../core/provider.ts'
import type { makeIntegrations } from '../integrations/integrations.ts'
import type { Verdict } from '../limits/window.ts'
import type { Log } from '../telemetry/log.ts'
import type { Exposed, Meter } from '../telemetry/meter.ts'
import { makeIsTrusted } from './client-address.ts'
import { docsPage } from './docs-page.ts'
import { authenticate } from './middleware/auth.ts'
import { allowOrigins } from './middleware/cors.ts'
import { limitPrincipal } from './middleware/rate-limit.ts'
import { limitBody, noteOrg, refuseCodings, requestLog, requireJson } from './middleware/request.ts'
import { sayPlainly } from './plain-words.ts'
import { makeOnError, problemResponse } from './problem.ts'
import { makeRouter } from './route.ts'
import { type ApiKeyRoutesDeps, apiKeyRoutes } from './routes/api-keys.ts'
import { type ApprovalRoutesDeps, approvalRoutes } from './routes/approvals.ts'
import { catalogRoutes } from './routes/catalog.ts'
import { type ChatRoutesDeps, chatRoutes } from './routes/chat.ts'
import {
  type EgressAllowListRoutesDeps,
  egressAllowListRoutes,
} from './routes/egress-allow-list.ts'
import { type HistoryRoutesDeps, historyRoutes } from './routes/history.ts'
import { type InboundRoutesDeps, inboundRoutes } from './routes/inbound.ts'
import { integrationRoutes } from './routes/integrations.ts'
import { guardMcp, type McpRoutesDeps, mcpMetadataRoutes, mcpRoutes } from './routes/mcp.ts'
import { type OrgRoutesDeps, orgRoutes } from './routes/orgs.ts'
import { type SlackRoutesDeps, slackInstallRoutes, slackRoutes } from './routes/slack.ts'
import { type SlackInboundRoutesDeps, slackInboundRoutes } from './routes/slack-inbound.ts'
import { type ToolImportRoutesDeps, toolImportRoutes } from './routes/tool-import.ts'
import { type ToolRefreshRoutesDeps, toolRefreshRoutes } from './routes/tool-refresh.ts'
import { type ToolRunRoutesDeps, toolRunRoutes } from './routes/tool-runs.ts'
import { type ToolRoutesDeps, toolRoutes } from './routes/tools.ts'
import { type TryToolRoutesDeps, tryToolRoutes } from './routes/try-tool.ts'
import { type WebhookActionsDeps, webhookActionRoutes } from './routes/webhook-actions.ts'
import { webhookRoutes } from './routes/webhooks.ts'

export interface AppDeps
  extends OrgRoutesDeps,
    ApiKeyRoutesDeps,
    EgressAllowListRoutesDeps,
    WebhookActionsDeps,
    HistoryRoutesDeps,
    ToolRoutesDeps,
    ApprovalRoutesDeps,
    ToolRunRoutesDeps,
    TryToolRoutesDeps,
    ToolRefreshRoutesDeps,
    ToolImportRoutesDeps,
    ChatRoutesDeps,
    InboundRoutesDeps,
    McpRoutesDeps,
    SlackRoutesDeps,
    SlackInboundRoutesDeps {
  readonly log: Log
  readonly version: string
  readonly verifyToken: VerifyToken
  readonly authorize: Authorize
  readonly idempotency: ReturnType<typeof makeIdempotency>
  readonly providers: readonly Provider[]
  readonly integrations: ReturnType<typeof makeIntegrations>
  readonly frame: FrameDeps
  /** What the tokens are verified with that tools' endpoints get, as a JWK Set. */
  readonly publishedKeys: () => Promise<{ keys: object[] }>
  /** Takes one of a principal's requests; null: they are not limited. */
  readonly takeRequest: ((principalId: string) => Promise<Verdict>) | null
  /** Why this process cannot serve, or null. */
  readonly unreadiness: () => Promise<string | null>
}

/** What is around every route, also while there are none yet. */
export interface FrameDeps {
  readonly log: Log
  readonly meter: Meter
  readonly exposeMetrics: () => Promise<Exposed>
  /** CIDRs and addresses of the proxies in front. */
  readonly trustedProxies: readonly string[]
  /** Of pages that may call the API. */
  readonly corsOrigins: readonly string[]
}

/** The HTTP API. Does not listen. */
export function createApp(deps: AppDeps) {
  sayPlainly()
  const app = makeFrame(deps.frame, deps.unreadiness)

  const api = makeRouter()
  api.use(authenticate(deps), noteOrg)
  if (deps.takeRequest !== null) api.use(limitPrincipal(deps.takeRequest))
  api.use(refuseCodings, limitBody, requireJson)
  api.route('/', orgRoutes(deps))
  api.route('/', apiKeyRoutes(deps))
  api.route('/', egressAllowListRoutes(deps))
  api.route('/', catalogRoutes(deps.providers))
  api.route('/', integrationRoutes(deps.integrations))
  api.route('/', webhookRoutes(deps.subscriptions))
  api.route('/', webhookActionRoutes(deps))
  api.route('/', historyRoutes(deps))
  api.route('/', toolRefreshRoutes(deps))
  api.route('/', toolRoutes(deps))
  api.route('/', approvalRoutes(deps))
  api.route('/', toolRunRoutes(deps))
  api.route('/', tryToolRoutes(deps))
  api.route('/', toolImportRoutes(deps))
  api.route('/', chatRoutes(deps))
  api.route('/', slackInstallRoutes(deps))
  api.route('/', mcpRoutes(deps))

  const document = makeDocument(api, deps.version)
  const page = docsPage(document)
  app.get('/openapi.json', (c) => c.json(document))
  app.get('/docs', (c) => {
    c.header(
      'content-security-policy',
      "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'",
    )
    return c.html(page)
  })
  app.get('/.well-known/jwks.json', async (c) => {
    c.header('cache-control', 'public, max-age=300')
    return c.json(await deps.publishedKeys())
  })
  app.route('/', slackRoutes(deps))
  app.route('/', slackInboundRoutes(deps))
  app.route('/', inboundRoutes(deps))
  app.route('/', mcpMetadataRoutes(deps.mcpAccess))
  app.use('/orgs/:orgId/mcp', guardMcp(deps.mcpAccess))
  app.route('/', api)
  return app
}

/** What answers before the database is there: alive, not ready, its metrics, and nothing else. */
export function createWaitingApp(frame: FrameDeps, reason: () => string) {
  const app = makeFrame(frame, () => Promise.resolve(reason()))
  app.all('*', () => {
    throw new AppError('UNAVAILABLE', `Starting: ${reason()}`)
  })
  return app
}

function makeFrame(
  { log, meter, exposeMetrics, trustedProxies, corsOrigins }: FrameDeps,
  unreadiness: () => Promise<string | null>,
) {
  const app = makeRouter()
  app.use(requestLog({ log, meter, isTrusted: makeIsTrusted(trustedProxies) }))
  if (corsOrigins.length > 0) app.use(allowOrigins(corsOrigins))
  app.onError(makeOnError(log))
  app.notFound((c) => problemResponse(c, new AppError('NOT_FOUND', 'No such route.')))
  app.get('/healthz', (c) => c.json({ status: 'alive' }))
  app.get('/readyz', async (c) => {
    const reason = await unreadiness()
    return reason === null
      ? c.json({ status: 'ready' })
      : c.json({ status: 'not ready', reason }, 503)
  })
  app.get('/metrics', async (c) => {
    const { contentType, text } = await exposeMetrics()
    return c.body(text, 200, { 'content-type': contentType })
  })
  return app
}

function makeDocument(api: ReturnType<typeof makeRouter>, version: string) {
  api.openAPIRegistry.registerComponent('securitySchemes', 'bearer', {
    type: 'http',
    scheme: 'bearer',
    bearerFormat: 'JWT',
    description: 'A JWT, or an API key of an org (`pbk_…`)',
  })
  return api.getOpenAPI31Document({
    openapi: '3.1.0',
    info: {
      title: 'Patchbay',
      version,
      description:
        'Integrations of an AI chat product: webhooks, tools, conversations. An MCP client finds the tools of an org at `/orgs/{orgId}/mcp`.',
      license: { name: 'MIT' },
    },
    security: [{ bearer: [] }],
  })
}
