import { randomUUID } from 'node:crypto'
import { type Events, makeEvents } from './slack/events.ts'
import { type Faults, makeFaults } from './slack/faults.ts'
import { removeApp, revokeTokens } from './slack/grants.ts'
import { type Call, openServer, plain, type Reply } from './slack/http.ts'
import { answerWebhook } from './slack/incoming-webhook.ts'
import { makeNews, type News } from './slack/news.ts'
import { type Consent, makeOAuth, type OAuth, type Refresh } from './slack/oauth.ts'
import { makePeople, type People, type RequestUrls } from './slack/people.ts'
import { makePlaces, type Places } from './slack/places.ts'
import { makeRateLimit } from './slack/rate-limit.ts'
import { makeResponseUrls, type ResponseUrls } from './slack/response-url.ts'
import { makeSender, type Sent } from './slack/sender.ts'
import { answerWebApi } from './slack/web-api.ts'
import { type App, makeId, makeWorld, type Team, type World } from './slack/world.ts'

export interface SlackOptions {
  readonly app?: Partial<App>
  readonly now?: () => number
  /** Messages that a channel takes at once before it takes one a second. */
  readonly burst?: number
  /** How long the app has to answer; Slack's 3 s. */
  readonly ackTimeoutMs?: number
  /** Before each retry of an event. Slack waits about 0, 60 and 300 s; here they are milliseconds. */
  readonly retryDelaysMs?: readonly number[]
  /** How long a refresh token holds that was used. Slack has a short grace; here none, so that no race goes unseen. */
  readonly refreshGraceMs?: number
}

/** A request of the app, and how it was answered; null: it was not. */
export interface ReceivedCall extends Call {
  readonly status: number | null
}

/**
 * A local Slack: a real server on loopback that answers and limits as Slack does, calls the app as Slack does, and has a
 * small world of workspaces. It is a reading of Slack's protocol of its own, and imports nothing of the product.
 */
export interface Slack extends AsyncDisposable, Places, People, Events {
  /** Without a slash at its end. */
  readonly url: string
  /** With a slash at its end: the base of the Web API. */
  readonly apiUrl: string
  /** Where a person consents to installing the app. */
  readonly authorizeUrl: string
  /** The host of incoming webhooks and response URLs, without its port. */
  readonly webhookHost: string
  readonly app: App
  /** Requests of the app, oldest first. */
  readonly received: readonly ReceivedCall[]
  /** Requests to the app, in the order in which they ended. */
  readonly sent: readonly Sent[]
  /** Calls that wanted a new token for a refresh token. */
  readonly refreshes: readonly Refresh[]
  readonly failNext: Faults['failNext']
  readonly hangNext: Faults['hangNext']
  /** Where the app wants events, commands and clicks; what is not named stays. */
  readonly connect: (urls: RequestUrls) => void
  /** What the person at the consent page will do. */
  readonly answerConsent: (consent: Consent) => void
  /** How long a refresh takes: so long, others who want the same can come in between. */
  readonly slowRefresh: (delayMs: number) => void
  /** An admin removes the app: `app_uninstalled` and `tokens_revoked` are sent. */
  readonly uninstall: (team: Team) => Promise<readonly Sent[]>
  /** Takes its tokens away, and leaves the app: `tokens_revoked` is sent. */
  readonly revokeTokens: (team: Team) => Promise<readonly Sent[]>
  /** When every event is sent that the app's own requests led to. */
  readonly settled: () => Promise<void>
}

/** What a test changes while it runs. */
interface Settings {
  requestUrls: RequestUrls
  consent: Consent | null
  refreshDelayMs: number
}

export async function openSlack(options: SlackOptions = {}): Promise<Slack> {
  const now = options.now ?? Date.now
  const world = makeWorld(makeApp(options.app), now)
  const settings: Settings = { requestUrls: {}, consent: null, refreshDelayMs: 0 }
  const ending = new AbortController()
  const sent: Sent[] = []
  const sender = makeSender({
    signingSecret: world.app.signingSecret,
    now,
    ackTimeoutMs: options.ackTimeoutMs ?? 3000,
    retryDelaysMs: options.retryDelaysMs ?? [0, 60, 300],
    signal: ending.signal,
    onSent: (one) => void sent.push(one),
  })
  const events = makeEvents(world, sender)
  const news = makeNews(world, events, () => settings.requestUrls.events)
  const oauth = makeOAuth(world, {
    consent: () => settings.consent,
    refreshDelayMs: () => settings.refreshDelayMs,
    refreshGraceMs: options.refreshGraceMs ?? 0,
    signal: ending.signal,
  })
  const responseUrls = makeResponseUrls(world)
  const route = makeRoute({ world, oauth, responseUrls, news, burst: options.burst ?? 5 })
  const faults = makeFaults()
  const received: ReceivedCall[] = []
  const server = await openServer(async (call) => {
    const fault = faults.take(call.path)
    const reply = fault === undefined ? await route(call) : fault
    received.push({ ...call, status: reply?.status ?? null })
    return reply
  })
  const { url } = server
  const requestUrls = () => settings.requestUrls
  const { failNext, hangNext } = faults
  return {
    ...addressesOf(url),
    app: world.app,
    received,
    sent,
    refreshes: oauth.refreshes,
    failNext,
    hangNext,
    settled: news.settled,
    ...events,
    ...makePeople({ world, events, sender, responseUrls, requestUrls, url }),
    ...makePlaces(world, url),
    ...makeSwitches(settings),
    ...makeRemoval(world, news),
    [Symbol.asyncDispose]: async () => {
      ending.abort()
      await server[Symbol.asyncDispose]()
      await news.settled()
    },
  }
}

function addressesOf(url: string) {
  return {
    url,
    apiUrl: `${url}/api/`,
    authorizeUrl: `${url}/oauth/v2/authorize`,
    webhookHost: new URL(url).hostname,
  }
}

function makeSwitches(
  settings: Settings,
): Pick<Slack, 'connect' | 'answerConsent' | 'slowRefresh'> {
  return {
    connect: (urls) => {
      settings.requestUrls = { ...settings.requestUrls, ...urls }
    },
    answerConsent: (consent) => {
      settings.consent = consent
    },
    slowRefresh: (delayMs) => {
      settings.refreshDelayMs = delayMs
    },
  }
}

function makeRemoval(world: World, news: News): Pick<Slack, 'uninstall' | 'revokeTokens'> {
  return {
    uninstall: (team) => {
      removeApp(world, team.id)
      return news.tellUninstalled(team.id)
    },
    revokeTokens: (team) => {
      revokeTokens(world, team.id)
      return news.tellRevoked(team.id)
    },
  }
}

function makeApp(given: Partial<App> = {}): App {
  return {
    id: makeId('A'),
    clientId: '1111111111.2222222222',
    clientSecret: randomUUID().replaceAll('-', ''),
    signingSecret: randomUUID().replaceAll('-', ''),
    verificationToken: makeId('', 24),
    redirectUrls: [],
    hasTokenRotation: false,
    ...given,
  }
}

interface Doors {
  readonly world: World
  readonly oauth: OAuth
  readonly responseUrls: ResponseUrls
  readonly news: News
  readonly burst: number
}

function makeRoute({ world, oauth, responseUrls, news, burst }: Doors) {
  // One for both ways to post: it is the channel that is spared.
  const limit = makeRateLimit(burst, world.now)
  return async (call: Call): Promise<Reply> => {
    const [, first] = call.path.split('/')
    if (first === 'services') return answerWebhook(world, limit, call, news.posted)
    if (first === 'commands' || first === 'actions') return responseUrls.answer(call)
    if (call.path === '/oauth/v2/authorize') return oauth.authorize(call)
    if (call.path === '/api/oauth.v2.access') return await oauth.access(call)
    return first === 'api' ? answerWebApi(world, limit, news, call) : plain(404, 'not_found')
  }
}
