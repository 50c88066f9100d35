import { z } from 'zod'
import { type Answer, judgeAnswer } from '../../../src/core/answer.ts'
import { cutText } from '../../../src/core/cut.ts'
import type { Outcome } from '../../../src/core/delivery.ts'
import type { EventRecord } from '../../../src/core/event.ts'
import type { Provider, Sender } from '../../../src/core/provider.ts'

// A fifth app, as its folder would be in src/providers: it knows the contract and nothing else, and nothing knows it.

const HOSTS = new Set(['discord.com', 'ptb.discord.com', 'canary.discord.com'])
const PATH = /^\/api\/(?:v\d+\/)?webhooks\/(\d{1,20})\/[\w-]{20,}$/
const MAX_CONTENT_LENGTH = 2000
const MAX_ANSWER_BYTES = 4096

/** What Discord's own codes mean for a webhook that will not work again as it is. */
const ENDINGS: Readonly<Record<number, string>> = {
  10015: 'The Discord webhook was removed: create a new one and paste its URL here.',
  50027: 'The URL of the Discord webhook is not whole: copy it again and paste it here.',
}

const errorBody = z.object({ code: z.int() })

/** Discord through a channel's webhook. Its URL is a secret: what follows its id is what lets one post. */
export const discordWebhook: Provider = {
  manifest: {
    schemaVersion: 1,
    key: 'discord-webhook',
    version: '1.0.0',
    name: 'Discord',
    description: 'Posts events as messages to a Discord channel, through a webhook of the channel.',
    docsUrl: 'https://docs.discord.com/developers/resources/webhook',
    categories: ['chat'],
    permissions: ['Posts messages to the channel of its webhook'],
    supportsWebhooks: true,
    supportsExternalTools: false,
    supportsInbound: false,
    install: 'paste',
    verification: 'Nothing: a webhook can only be tried by a message. Send a test.',
  },
  credentials: z.strictObject({}),
  config: z.strictObject({}),
  configUrl: () => null,
  network: 'public',
  urlProblem,
  maskUrl: (url) => `${url.origin}/api/webhooks/${PATH.exec(url.pathname)?.[1] ?? ''}/…`,
  defaults: { rateLimit: { perSecond: 1 }, ordering: 'conversation' },
  channelUrl: null,
  needsCredentials: () => false,
  open: ({ url }) => ({ ...SENDER, url }),
  verify: async () => ({
    ok: true,
    detail: 'Nothing was tried: a Discord webhook can only be tried by a message. Send a test.',
  }),
  renderAnswer: null,
  inboundSecret: null,
  readInbound: null,
}

const SENDER: Omit<Sender, 'url'> = {
  headers: [],
  secrets: [],
  maxAnswerBytes: MAX_ANSWER_BYTES,
  channel: null,
  render: (event) => ({ body: JSON.stringify(message(event)), isSigned: false }),
  judge,
  threadOf: () => null,
}

function urlProblem(url: URL): string | null {
  return HOSTS.has(url.hostname) && PATH.test(url.pathname)
    ? null
    : 'must be the URL of a Discord webhook, https://discord.com/api/webhooks/…: in Discord, choose Edit Channel, Integrations, Webhooks, Copy Webhook URL'
}

/** Nothing that people or a model wrote may ping anyone: `parse` names the kinds of mention that do, none. */
function message(event: EventRecord) {
  const content = cutText(`**${event.type}**\n${event.data}`.toWellFormed(), MAX_CONTENT_LENGTH)
  return { content, allowed_mentions: { parse: [] } }
}

function judge(answer: Answer, nowMs: number): Outcome {
  const outcome = judgeAnswer(answer, nowMs)
  if (outcome.kind !== 'failed') return outcome
  const reason = ENDINGS[codeOf(answer.body) ?? -1]
  return reason === undefined
    ? outcome
    : { ...outcome, error: reason, consequence: { stops: 'subscription', reason } }
}

function codeOf(body: Buffer): number | null {
  try {
    return errorBody.safeParse(JSON.parse(body.toString())).data?.code ?? null
  } catch {
    // Not JSON: it comes from something in front of Discord.
    return null
  }
}
