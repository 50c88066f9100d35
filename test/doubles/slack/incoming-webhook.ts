import { blockProblem } from './blocks.ts'
import { type Call, type Fields, isFields, parseJson, plain, type Reply, tooMany } from './http.ts'
import type { RateLimit } from './rate-limit.ts'
import { type IncomingWebhook, type Message, post, type World } from './world.ts'

const MAX_ATTACHMENTS = 100

/** `POST /services/T…/B…/X…`. [Slack, incoming webhooks: 200 `ok` as plain text, no `ts`; errors are plain text] */
export function answerWebhook(
  world: World,
  limit: RateLimit,
  call: Call,
  onPosted: (message: Message) => void,
): Reply {
  const webhook = findWebhook(world, call.path)
  if ('status' in webhook) return webhook
  const payload = payloadOf(call)
  if (call.method !== 'POST' || payload === null) return plain(400, 'invalid_payload')
  const problem = payloadProblem(payload)
  if (problem !== null) return plain(400, problem)
  const waitS = limit(webhook.channelId)
  if (waitS !== null) return tooMany(waitS, plain(429, 'rate_limited'))
  const threadTs = typeof payload.thread_ts === 'string' ? payload.thread_ts : null
  const by = { kind: 'webhook', path: webhook.path } as const
  const { teamId, channelId } = webhook
  onPosted(post(world, { teamId, channelId, threadTs, by, payload }))
  return plain(200, 'ok')
}

function findWebhook(world: World, path: string): IncomingWebhook | Reply {
  const [, , teamId = '', id = ''] = path.split('/')
  if (!world.teams.has(teamId)) return plain(404, 'no_team')
  const webhook = world.webhooks.get(path)
  if (webhook === undefined) {
    const isOfOther = [...world.webhooks.keys()].some((known) => known.split('/')[3] === id)
    return isOfOther ? plain(403, 'invalid_token') : plain(404, 'no_service')
  }
  if (webhook.isRemoved) return plain(404, 'no_service')
  const channel = world.channels.get(webhook.channelId)
  if (channel === undefined) return plain(404, 'channel_not_found')
  return channel.isArchived ? plain(410, 'channel_is_archived') : webhook
}

/** A JSON object, as it is or in the field of a form; null: it is none. */
function payloadOf({ headers, body }: Call): Fields | null {
  const isForm = (headers['content-type'] ?? '').startsWith('application/x-www-form-urlencoded')
  const text = isForm ? (new URLSearchParams(body).get('payload') ?? '') : body
  const payload = parseJson(text)
  return isFields(payload) ? payload : null
}

function payloadProblem({ text, blocks, attachments }: Fields): string | null {
  const attached = Array.isArray(attachments) ? attachments.length : 0
  if (attached > MAX_ATTACHMENTS) return 'too_many_attachments'
  if (text !== undefined && typeof text !== 'string') return 'invalid_payload'
  const hasBlocks = Array.isArray(blocks) && blocks.length > 0
  if ((text ?? '') === '' && !hasBlocks && attached === 0) return 'no_text'
  return blocks === undefined || blockProblem(blocks) === null ? null : 'invalid_blocks'
}
