import { z } from '@hono/zod-openapi'
import type { Context } from 'hono'
import { deleteCookie, getCookie, setCookie } from 'hono/cookie'
import { AppError } from '../../core/error.ts'
import type { InboundRequest } from '../../core/provider.ts'
import type { makeFromSlack } from '../../inbound/from-slack.ts'
import { INSTALL_S } from '../../integrations/install.ts'
import { actorOf } from '../actor.ts'
import type { AppEnv } from '../env.ts'
import { requiresOfNamedOrg } from '../middleware/auth.ts'
import { limitBody, refuseCodings } from '../middleware/request.ts'
import { makeRouter, route } from '../route.ts'
import { json } from '../schemas.ts'
import { toInbound } from './inbound.ts'
import { startPage, textPage } from './slack-pages.ts'

/** Where a browser goes to agree, and what it keeps meanwhile. */
interface Begun {
  readonly url: string
  readonly browser: string
}

/** The installation's Slack app. */
export interface SlackApp {
  /** Throws `UNPROCESSABLE` where there is no Slack app. */
  readonly begin: (orgId: string, userId: string) => Promise<Begun>
  /** A link that begins it in whichever browser opens it, once. */
  readonly makeLink: (orgId: string, userId: string) => Promise<string>
  /** Of the org that the link is for; and what the app will be able to do. */
  readonly lookAtLink: (
    ticket: string,
  ) => Promise<{ readonly org: string; readonly permissions: readonly string[] }>
  readonly useLink: (ticket: string) => Promise<Begun>
  /** What came of the consent page. Throws what a person should read. */
  readonly finish: (answer: {
    readonly code: string
    readonly state: string
    readonly browser: string
    readonly actor: { readonly address: string | null; readonly requestId: string | null }
  }) => Promise<{
    readonly workspace: string
    readonly org: string
    /** What else the person should know, after a space. */
    readonly told: string
  }>
  readonly appManifest: () => Record<string, unknown>
  /** Reads what Slack posted, its signature checked. Throws `UNAUTHENTICATED`, `INVALID_BODY`. */
  readonly readEvent: (request: InboundRequest, integrationId?: string) => Promise<SlackEvent>
  /** null: a probe of Slack's for the certificate. */
  readonly readCommand: (
    request: InboundRequest,
    integrationId?: string,
  ) => Promise<{ readonly own: Own; readonly command: SlackCommand } | null>
  readonly readInteraction: (request: InboundRequest, integrationId?: string) => Promise<void>
}

type FromSlack = ReturnType<typeof makeFromSlack>
/** The integration whose own Slack app sent it; null: the installation's app did. */
type Own = Parameters<FromSlack['message']>[1]
type SlackCommand = Parameters<FromSlack['command']>[0]
type SlackEvent =
  | { readonly kind: 'challenge'; readonly challenge: string }
  | {
      readonly kind: 'message'
      readonly own: Own
      readonly message: Parameters<FromSlack['message']>[0]
    }
  | { readonly kind: 'ended'; readonly own: Own; readonly ended: Parameters<FromSlack['ended']>[0] }
  | { readonly kind: 'ignored'; readonly reason: string }

export interface SlackRoutesDeps {
  readonly slack: SlackApp
  readonly fromSlack: FromSlack
}

const tags = ['Slack']
const COOKIE = 'patchbay-slack-install'

const install = route({
  method: 'get',
  path: '/integrations/slack/install',
  tags,
  summary: 'Install Slack: leads to the page where a person agrees',
  middleware: requiresOfNamedOrg('org:tools:manage'),
  request: { query: z.object({ orgId: z.string().min(1) }) },
  responses: {
    200: json(
      z.object({ url: z.url(), link: z.url() }),
      'With `Accept: application/json`: where to send a browser that keeps the cookie of this answer; and a link that begins the install in any browser, once, within ten minutes',
    ),
    302: { description: 'To that page' },
  },
})

const manifest = route({
  method: 'get',
  path: '/integrations/slack/app-manifest',
  tags,
  summary: 'The manifest of a Slack app of your own, to paste at Slack',
  responses: { 200: json(z.record(z.string(), z.unknown()), 'An app manifest as Slack reads it') },
})

/** For those who are logged in. */
export function slackInstallRoutes({ slack }: Pick<SlackRoutesDeps, 'slack'>) {
  return makeRouter()
    .openapi(install, async (c) => {
      const { orgId } = c.req.valid('query')
      const { principalId } = actorOf(c)
      const { url, browser } = await slack.begin(orgId, principalId)
      keepInBrowser(c, browser)
      const isAsked = c.req.header('accept')?.includes('application/json') === true
      if (!isAsked) return c.redirect(url, 302)
      return c.json({ url, link: await slack.makeLink(orgId, principalId) }, 200)
    })
    .openapi(manifest, (c) => c.json(slack.appManifest(), 200))
}

function keepInBrowser(c: Context<AppEnv>, browser: string): void {
  setCookie(c, COOKIE, browser, {
    prefix: 'host',
    path: '/',
    secure: true,
    httpOnly: true,
    // Slack sends the browser back here by a link.
    sameSite: 'Lax',
    maxAge: INSTALL_S,
  })
}

/** What Slack and the browsers it sends back ask. Nobody is logged in here: a signature counts, or a state used once. */
export function slackRoutes({ slack, fromSlack }: SlackRoutesDeps) {
  return makeRouter()
    .get('/integrations/slack/start', (c) =>
      orRefusal(c, async () => {
        const ticket = c.req.query('ticket') ?? ''
        const { org, permissions } = await slack.lookAtLink(ticket)
        return startPage(c, { org, permissions, ticket })
      }),
    )
    .use('/integrations/slack/start', limitBody)
    .post('/integrations/slack/start', (c) =>
      orRefusal(c, async () => {
        const ticket = new URLSearchParams(await c.req.text()).get('ticket') ?? ''
        const { url, browser } = await slack.useLink(ticket)
        keepInBrowser(c, browser)
        return c.redirect(url, 303)
      }),
    )
    .get('/integrations/slack/callback', async (c) => {
      // Whoever only looks at a link does not use it up.
      if (c.req.method === 'HEAD') return c.body(null, 200)
      const { code = '', state = '', error } = c.req.query()
      const browser = getCookie(c, COOKIE, 'host') ?? ''
      deleteCookie(c, COOKIE, { prefix: 'host', path: '/', secure: true })
      if (error !== undefined) {
        return textPage(c, 400, NOT_CONNECTED, refusal(error))
      }
      const actor = { address: c.get('address') ?? null, requestId: c.get('requestId') }
      return orRefusal(c, async () => {
        const done = await slack.finish({ code, state, browser, actor })
        const text = `The workspace ${done.workspace} is connected to ${done.org}.${done.told} Mention the app in a channel to talk to the assistant. You can close this page.`
        return textPage(c, 200, 'Slack is connected', text)
      })
    })
    .use('/inbound/slack/*', refuseCodings, limitBody)
    .post('/inbound/slack/events', async (c) => {
      const event = await slack.readEvent(await toInbound(c), c.req.query('integrationId'))
      if (event.kind === 'challenge') return c.json({ challenge: event.challenge }, 200)
      if (event.kind === 'message') await fromSlack.message(event.message, event.own)
      if (event.kind === 'ended') await fromSlack.ended(event.ended, event.own)
      return c.json({ ok: true }, 200)
    })
    .post('/inbound/slack/commands', async (c) => {
      const read = await slack.readCommand(await toInbound(c), c.req.query('integrationId'))
      if (read === null) return c.body(null, 200)
      const text = await fromSlack.command(read.command, read.own)
      return c.json({ response_type: 'ephemeral', text }, 200)
    })
    .post('/inbound/slack/interactions', async (c) => {
      await slack.readInteraction(await toInbound(c), c.req.query('integrationId'))
      // No message of ours has a button yet that still means something.
      return c.body(null, 200)
    })
}

const NOT_CONNECTED = 'Slack was not connected'

/** What a person should read is shown as a page. */
async function orRefusal(c: Context<AppEnv>, work: () => Promise<Response>): Promise<Response> {
  try {
    return await work()
  } catch (failure) {
    if (!(failure instanceof AppError) || failure.code === 'INTERNAL') throw failure
    return textPage(c, 400, NOT_CONNECTED, failure.message)
  }
}

const REFUSALS: Readonly<Record<string, string>> = {
  access_denied: 'Somebody pressed Cancel at Slack. Begin the install again when you like.',
}

function refusal(error: string): string {
  return REFUSALS[error] ?? 'Slack refused the install. Begin it again.'
}
