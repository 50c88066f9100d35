import { randomUUID } from 'node:crypto'
import { botMessage } from './chat.ts'
import type { Fields } from './http.ts'
import type { EventOptions, Sender, Sent } from './sender.ts'
import { type Channel, findMessage, type Message, makeId, type World } from './world.ts'

export interface SendEventOptions extends EventOptions {
  /** The workspace where it happened; the only one there is unless told otherwise. */
  readonly teamId?: string
  /** The same one again is the same event. */
  readonly eventId?: string
}

export interface Events {
  /** Sends one event in its envelope, with retries; resolves to every request that was made for it. */
  readonly sendEvent: (
    requestUrl: string,
    event: Fields,
    options?: SendEventOptions,
  ) => Promise<Sent[]>
  /** The handshake when the Request URL is saved; what answers right has the challenge in its body. */
  readonly urlVerification: (requestUrl: string) => Promise<Sent & { readonly isRight: boolean }>
}

/** What Slack's Events API sends: one envelope for each event, and the handshake. */
export function makeEvents(world: World, sender: Sender): Events {
  return {
    sendEvent: (requestUrl, event, options = {}) => {
      const teamId = options.teamId ?? onlyTeam(world)
      const eventId = options.eventId ?? makeId('Ev')
      const body = JSON.stringify(envelope(world, teamId, eventId, event))
      return sender.sendEvent(requestUrl, body, options)
    },
    urlVerification: async (requestUrl) => {
      const challenge = randomUUID()
      const { verificationToken: token } = world.app
      const body = JSON.stringify({ type: 'url_verification', token, challenge })
      const sent = await sender.send(requestUrl, body, { 'content-type': 'application/json' })
      return { ...sent, isRight: sent.failure === null && holds(sent.answer, challenge) }
    },
  }
}

/** As plain text, or in a JSON object. */
function holds(answer: string, challenge: string): boolean {
  return answer.trim() === challenge || answer.includes(JSON.stringify({ challenge }).slice(1, -1))
}

function onlyTeam({ teams }: World): string {
  const [first, second] = teams.keys()
  if (first === undefined || second !== undefined) throw new Error('say in which workspace')
  return first
}

function envelope(world: World, teamId: string, eventId: string, event: Fields): Fields {
  const install = world.installs.get(teamId)
  const authorization = {
    enterprise_id: null,
    team_id: teamId,
    user_id: install?.botUserId,
    is_bot: true,
    is_enterprise_install: false,
  }
  return {
    token: world.app.verificationToken,
    team_id: teamId,
    context_team_id: teamId,
    api_app_id: world.app.id,
    event,
    type: 'event_callback',
    event_id: eventId,
    event_time: Math.floor(world.now() / 1000),
    event_context: `4-${eventId}`,
    is_ext_shared_channel: false,
    authorizations: install === undefined ? [] : [authorization],
  }
}

const CHANNEL_TYPES = { public: 'channel', private: 'group', direct: 'im' } as const

/** What the app hears of a message: `message.channels`, `message.groups` or `message.im`, by the kind of the channel. */
export function messageEvent(world: World, channel: Channel, message: Message): Fields {
  return {
    ...authorOf(world, message),
    type: 'message',
    channel: channel.id,
    channel_type: CHANNEL_TYPES[channel.kind],
    text: message.text,
    ts: message.ts,
    event_ts: message.ts,
    team: message.teamId,
    ...threadOf(world, message),
  }
}

/** The second event of the same message, where it mentions the app: the same `ts`, and an id of its own. */
export function mentionEvent(world: World, message: Message): Fields {
  return {
    ...authorOf(world, message),
    type: 'app_mention',
    channel: message.channelId,
    text: message.text,
    ts: message.ts,
    event_ts: message.ts,
    team: message.teamId,
    ...threadOf(world, message),
  }
}

/** What a bot said has a `bot_id`: that is how an app knows what it said itself. */
function authorOf(world: World, message: Message): Fields {
  const { by, teamId } = message
  const install = world.installs.get(teamId)
  if (by.kind === 'person') return { user: by.userId, client_msg_id: randomUUID() }
  if (by.kind === 'bot' && install !== undefined) return botMessage(world, install, message)
  return { subtype: 'bot_message', bot_id: install?.botId ?? makeId('B'), username: 'assistant' }
}

function threadOf(world: World, { channelId, threadTs }: Message): Fields {
  if (threadTs === null) return {}
  const parent = findMessage(world, channelId, threadTs)
  const isByPerson = parent?.by.kind === 'person'
  const parentUser = isByPerson
    ? parent.by.userId
    : world.installs.get(parent?.teamId ?? '')?.botUserId
  return { thread_ts: threadTs, parent_user_id: parentUser }
}
