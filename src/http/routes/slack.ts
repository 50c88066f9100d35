import { z } from '@hono/zod-openapi'
import type { Context } from 'hono'
import { deleteCookie, getCookie, setCookie } from 'hono/cookie'
import { AppError } from '../../core/error.ts'
import { INSTALL_S } from '../../integrations/install.ts'
import { actorOf } from '../actor.ts'
import type { AppEnv } from '../env.ts'
import { requiresOfNamedOrg } from '../middleware/auth.ts'
import { limitBody } from '../middleware/request.ts'
import { makeRouter, route } from '../route.ts'
import { json } from '../schemas.ts'
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
}

export interface SlackRoutesDeps {
  readonly slack: SlackApp
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
export function slackInstallRoutes({ slack }: SlackRoutesDeps) {
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

/** What the browsers ask that Slack sends back. Nobody is logged in here: a state used once counts. */
export function slackRoutes({ slack }: SlackRoutesDeps) {
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
