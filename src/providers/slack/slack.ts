import { z } from 'zod'
import type {
  CallApp,
  Credentials,
  LaneOfApp,
  Provider,
  Sender,
  Verification,
} from '../../core/provider.ts'
import { apiFault, judgeApi, judgeWebhook, safeWord, threadOfPosted } from './answers.ts'
import { renderAnswer, renderEvent } from './blocks.ts'
import { slackConfig } from './config.ts'
import { slackCredentials } from './credentials.ts'
import { parsedJson } from './json.ts'

/** The answer repeats the whole message, blocks and all. */
const MAX_API_ANSWER_BYTES = 262_144
const MAX_WEBHOOK_ANSWER_BYTES = 16_384

export interface SlackOptions {
  /** Where the Web API is, with the slash at its end: `https://slack.com/api/` */
  readonly apiUrl: string
  /** Whose URLs under `/services/` are incoming webhooks: `hooks.slack.com`, `hooks.slack-gov.com` */
  readonly webhookHosts: readonly string[]
}

/**
 * Slack. A subscription's URL is an incoming webhook, which is a secret: it is sealed at rest and shown masked; or it is a
 * channel, `<apiUrl>chat.postMessage?channel=C0123ABC`, to which the integration's bot token posts, a thread per conversation.
 */
export function makeSlack({ apiUrl, webhookHosts }: SlackOptions): Provider {
  const channels = makeChannels(apiUrl)
  const isWebhook = (url: URL) =>
    webhookHosts.includes(url.hostname) && /^\/services\/[^/]/.test(url.pathname)
  return {
    manifest: MANIFEST,
    credentials: slackCredentials,
    config: slackConfig,
    configUrl: () => null,
    network: 'public',
    urlProblem: (url) => {
      if (isWebhook(url)) return null
      return channels.isOfApi(url) ? channels.problem(url) : strangerProblem(url, apiUrl)
    },
    maskUrl: (url) => {
      if (isWebhook(url)) return `${url.origin}/services/…`
      return channels.isOfApi(url) && channels.problem(url) === null ? null : `${url.origin}/…`
    },
    // Slack's own limit is one message a second and channel.
    defaults: { rateLimit: { perSecond: 1 }, ordering: 'conversation' },
    channelUrl: (channel) => `${channels.postUrl}?channel=${channel}`,
    needsCredentials: (url) => channels.channelOf(url) !== null,
    open: (lane) => {
      const channel = channels.channelOf(lane.url)
      return channel === null ? webhookSender(lane) : channelSender(lane, channel, channels.postUrl)
    },
    verify: ({ credentials }, call) => verify(apiUrl, credentials, call),
    renderAnswer,
    inboundSecret: 'app',
    // One app serves the whole installation: its requests come to a place of their own.
    readInbound: null,
  }
}

const MANIFEST: Provider['manifest'] = {
  schemaVersion: 1,
  key: 'slack',
  version: '1.2.0',
  name: 'Slack',
  description:
    'Posts answers and events to Slack channels, and lets people there talk to the assistant.',
  docsUrl: 'https://docs.slack.dev/messaging/',
  categories: ['chat'],
  permissions: [
    'Posts messages to public channels, and to private ones it is invited to',
    'Reads messages that mention it, direct messages to it, and replies in channels it is in',
    'Adds the slash command /ask',
    'Asks whether a tool may run, and takes the answer from people you name',
  ],
  supportsWebhooks: true,
  supportsExternalTools: false,
  supportsInbound: true,
  install: 'oauth',
  verification:
    'Asks Slack whose the bot token is (auth.test). Nobody sees it. A webhook URL can only be checked by sending a test.',
}

const ID_WANTED =
  'wants the id of a channel, not its name: in Slack, open the channel’s details and copy the id at the bottom (it begins with C, G or D)'

function makeChannels(apiUrl: string) {
  const postUrl = `${apiUrl}chat.postMessage`
  const post = new URL(postUrl)
  const isOfApi = (url: URL) => url.origin === post.origin && url.pathname === post.pathname
  const problem = (url: URL): string | null => {
    const [first, ...others] = url.searchParams
    if (first?.[0] !== 'channel' || others.length > 0) {
      return 'must have one parameter, channel=, with the id of the channel'
    }
    return url.hash === '' && /^[CGD][A-Z0-9]{1,31}$/.test(first[1]) ? null : ID_WANTED
  }
  const channelOf = (text: string): string | null => {
    if (!URL.canParse(text)) return null
    const url = new URL(text)
    return isOfApi(url) && problem(url) === null ? url.searchParams.get('channel') : null
  }
  return { postUrl, isOfApi, problem, channelOf }
}

function strangerProblem(url: URL, apiUrl: string): string {
  const kinds = `an incoming webhook of Slack (https://hooks.slack.com/services/…), or ${apiUrl}chat.postMessage?channel= and the id of a channel`
  if (/^\/(?:triggers|workflows)\//.test(url.pathname)) {
    return `is the webhook of a Slack workflow, which takes no messages; it must be ${kinds}`
  }
  if (/^\/(?:archives|client)\//.test(url.pathname)) {
    return `is a link to a place in Slack; it must be ${kinds}`
  }
  return `must be ${kinds}`
}

const noThread = () => null

function webhookSender({ url, integrationId }: LaneOfApp): Sender {
  const place = { integrationId, channel: null }
  return {
    url,
    headers: [],
    secrets: [],
    maxAnswerBytes: MAX_WEBHOOK_ANSWER_BYTES,
    channel: null,
    render: (event, thread) => ({ body: renderEvent(event, place, thread), isSigned: false }),
    judge: judgeWebhook,
    // Slack does not say what a webhook's message became.
    threadOf: noThread,
  }
}

/** Without a token it asks all the same: Slack's refusal disconnects the integration, and says why. */
function channelSender(lane: LaneOfApp, channel: string, url: string): Sender {
  const { botToken } = lane.credentials
  const place = { integrationId: lane.integrationId, channel }
  return {
    url,
    // Slack knows the scheme in this spelling alone.
    headers: botToken === undefined ? [] : ['authorization', `Bearer ${botToken}`],
    secrets: botToken === undefined ? [] : [botToken],
    maxAnswerBytes: MAX_API_ANSWER_BYTES,
    channel,
    render: (event, thread) => ({ body: renderEvent(event, place, thread), isSigned: false }),
    judge: judgeApi,
    threadOf: threadOfPosted,
  }
}

const identity = z.union([
  z.object({ ok: z.literal(true), team: z.string(), user: z.string() }),
  z.object({ ok: z.literal(false), error: z.string() }),
])

async function verify(
  apiUrl: string,
  { botToken }: Credentials,
  call: CallApp,
): Promise<Verification> {
  if (botToken === undefined) {
    const detail =
      'There is no bot token, so nothing was tried: whether a webhook works shows when a test is sent to it.'
    return { ok: true, detail }
  }
  const answer = await call({
    method: 'POST',
    url: `${apiUrl}auth.test`,
    headers: ['authorization', `Bearer ${botToken}`],
    body: null,
  })
  if (!answer.isAnswer) {
    return { ok: false, detail: `Slack could not be reached: ${answer.reason}. Try again later.` }
  }
  const said = identity.safeParse(parsedJson(answer.body))
  if (!said.success) {
    const detail = `Slack answered HTTP ${answer.statusCode}, and not in the words of its API. Try again later.`
    return { ok: false, detail }
  }
  if (said.data.ok) {
    const { team, user } = said.data
    return { ok: true, detail: `The bot token works: it is @${user} in the workspace ${team}.` }
  }
  const word = safeWord(said.data.error)
  return { ok: false, detail: `${apiFault(word).reason} (Slack says ${word}.)` }
}
