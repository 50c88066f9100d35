import { blockProblem } from './blocks.ts'
import { type Fields, json, parseJson, type Reply, textOf, tooMany } from './http.ts'
import type { RateLimit } from './rate-limit.ts'
import { type Channel, findMessage, type Install, type Message, post, type World } from './world.ts'

const MAX_MARKDOWN_TEXT = 12_000
const MAX_ATTACHMENTS = 100

/** `ok: false` comes with HTTP 200, all errors but that of the rate. [Slack, Web API] */
export function failure(error: string, details: readonly string[] = []): Reply {
  const metadata = details.length === 0 ? {} : { response_metadata: { messages: details } }
  return json({ ok: false, error, ...metadata })
}

export interface Poster {
  readonly install: Install
  readonly token: string
}

/** `chat.postMessage`, with Slack's names for what is wrong. */
export function postMessage(
  world: World,
  limit: RateLimit,
  { install, token }: Poster,
  args: Fields,
  onPosted: (message: Message) => void,
): Reply {
  if (textOf(args.channel) === null) return failure('invalid_arguments', ['missing channel'])
  const channel = findChannel(world, install, String(args.channel))
  if (typeof channel === 'string') return failure(channel)
  const blocks = typeof args.blocks === 'string' ? parseJson(args.blocks) : args.blocks
  const payload = blocks === undefined ? args : { ...args, blocks }
  const problem = contentProblem(payload) ?? threadProblem(world, channel, payload.thread_ts)
  if (problem !== null) return problem
  const waitS = limit(channel.id)
  if (waitS !== null) return tooMany(waitS, failure('ratelimited'))
  const message = post(world, {
    teamId: install.teamId,
    channelId: channel.id,
    threadTs: textOf(payload.thread_ts),
    by: { kind: 'bot', token },
    payload,
  })
  onPosted(message)
  const { ts } = message
  return json({ ok: true, channel: channel.id, ts, message: botMessage(world, install, message) })
}

/** As the API shows what the app said. */
export function botMessage(world: World, install: Install, message: Message): Fields {
  return {
    type: 'message',
    user: install.botUserId,
    bot_id: install.botId,
    app_id: world.app.id,
    team: message.teamId,
    ts: message.ts,
    text: message.text,
    ...(message.blocks.length > 0 && { blocks: message.blocks }),
    ...(message.threadTs !== null && { thread_ts: message.threadTs }),
    bot_profile: { id: install.botId, app_id: world.app.id, name: 'assistant' },
  }
}

/**
 * An error of Slack's where the app may not post there: into a public channel that it is not in only with
 * `chat:write.public`.
 */
function findChannel(world: World, { teamId, scopes }: Install, id: string): Channel | string {
  const channel = world.channels.get(id)
  if (channel === undefined || channel.teamId !== teamId) return 'channel_not_found'
  if (channel.kind === 'private' && !channel.hasBot) return 'channel_not_found'
  if (channel.isArchived) return 'is_archived'
  return channel.hasBot || scopes.has('chat:write.public') ? channel : 'not_in_channel'
}

function contentProblem({ text, blocks, attachments, markdown_text: markdown }: Fields) {
  const attached = Array.isArray(attachments) ? attachments.length : 0
  if (attached > MAX_ATTACHMENTS) return failure('too_many_attachments')
  if (markdown !== undefined) {
    if (text !== undefined || blocks !== undefined) return failure('markdown_text_conflict')
    return String(markdown).length > MAX_MARKDOWN_TEXT ? failure('msg_too_long') : null
  }
  const hasBlocks = Array.isArray(blocks) && blocks.length > 0
  if ((textOf(text) ?? '') === '' && !hasBlocks && attached === 0) return failure('no_text')
  const problem = blocks === undefined ? null : blockProblem(blocks)
  return problem === null ? null : failure(problem.error, problem.details)
}

/** Stricter than Slack, which takes a thread that is none and shows the message where nobody looks for it. */
function threadProblem(world: World, channel: Channel, threadTs: unknown): Reply | null {
  if (threadTs === undefined) return null
  const parent = findMessage(world, channel.id, String(threadTs))
  const isParent = parent !== undefined && (parent.threadTs ?? parent.ts) === parent.ts
  return isParent ? null : failure('cannot_reply_to_message')
}
