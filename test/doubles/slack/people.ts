import { randomUUID } from 'node:crypto'
import { type Events, mentionEvent, messageEvent } from './events.ts'
import { type Fields, isFields, parseJson } from './http.ts'
import { type Asked, type ResponseUrls, respond } from './response-url.ts'
import type { EventOptions, Sender, Sent } from './sender.ts'
import { type Channel, type Message, makeId, post, type World } from './world.ts'

/** Where the app said that Slack is to send things. */
export interface RequestUrls {
  readonly events?: string
  readonly commands?: string
  readonly interactions?: string
}

export interface Saying extends EventOptions {
  readonly channel: Channel
  /** Who says it: `U…`. */
  readonly user: string
  /** As it is typed; Slack escapes it. */
  readonly text: string
  /** `ts` of the message that the thread hangs on. */
  readonly thread?: string
}

/** What was said, and every request that told the app. */
export interface Heard {
  readonly message: Message
  readonly sent: readonly Sent[]
}

/** What somebody sees at once who used a command or a button. */
export interface Interaction {
  readonly sent: Sent
  /** What Slack shows instead of an answer; null: the app acknowledged in time. */
  readonly problem: 'operation_timeout' | 'http_client_error' | 'http_service_error' | null
  readonly responseUrl: string
}

export interface People {
  /** Says `@assistant …`: the app gets `app_mention`, and the message itself too. */
  readonly mention: (saying: Saying) => Promise<Heard>
  /** Says something without a mention, in a thread or not. */
  readonly say: (saying: Saying) => Promise<Heard>
  readonly threadReply: (saying: Saying & { readonly thread: string }) => Promise<Heard>
  /** In a channel of the kind `direct`. */
  readonly directMessage: (saying: Saying) => Promise<Heard>
  readonly slashCommand: (given: {
    readonly channel: Channel
    readonly user: string
    readonly text: string
    /** `/ask` unless told otherwise. */
    readonly command?: string
  }) => Promise<Interaction>
  /**
   * Clicks a button, and agrees where it asks again.
   *
   * @throws where the message has no such button
   */
  readonly clickButton: (given: {
    readonly message: Message
    readonly user: string
    readonly actionId: string
    /** The user's own workspace, where the channel is shared with it. */
    readonly userTeamId?: string
  }) => Promise<Interaction>
}

export interface PeopleDeps {
  readonly world: World
  readonly events: Events
  readonly sender: Sender
  readonly responseUrls: ResponseUrls
  readonly requestUrls: () => RequestUrls
  /** Of the server, without a slash at its end. */
  readonly url: string
}

export function makePeople(deps: PeopleDeps): People {
  const say = (saying: Saying) => tell(deps, saying, saying.text, false)
  return {
    mention: (saying) => tell(deps, saying, saying.text, true),
    say,
    threadReply: say,
    directMessage: async (saying) => {
      if (saying.channel.kind !== 'direct') throw new Error('not a direct channel')
      return await say(saying)
    },
    slashCommand: (given) => runCommand(deps, given),
    clickButton: (given) => click(deps, given),
  }
}

/** An app hears what is said where it is, and nothing from elsewhere. */
async function tell(
  { world, events, requestUrls }: PeopleDeps,
  { channel, user, thread, ...options }: Saying,
  typed: string,
  isMention: boolean,
): Promise<Heard> {
  const { id: channelId, teamId } = channel
  const botUserId = world.installs.get(teamId)?.botUserId
  const text = (isMention ? `<@${botUserId ?? 'U0NOBODY'}> ` : '') + escapeTyped(typed)
  const by = { kind: 'person', userId: user } as const
  const message = post(world, {
    teamId,
    channelId,
    threadTs: thread ?? null,
    by,
    payload: { text },
  })
  if (!channel.hasBot) return { message, sent: [] }
  const url = needed(requestUrls().events, 'events')
  const told = [messageEvent(world, channel, message)]
  if (isMention) told.unshift(mentionEvent(world, message))
  const sent = await Promise.all(
    told.map((event) => events.sendEvent(url, event, { ...options, teamId })),
  )
  return { message, sent: sent.flat() }
}

function escapeTyped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')
}

function needed(url: string | undefined, name: keyof RequestUrls): string {
  if (url === undefined) throw new Error(`connect({ ${name} }) first: the app has no such URL`)
  return url
}

const FORM = { 'content-type': 'application/x-www-form-urlencoded' }

/**
 * [Slack, slash commands: a form; 3 s to answer; what the answer says is shown to the one who asked, unless it says
 * `in_channel`]
 */
async function runCommand(
  deps: PeopleDeps,
  { channel, user, text, command = '/ask' }: Parameters<People['slashCommand']>[0],
): Promise<Interaction> {
  const { world } = deps
  const asked = { teamId: channel.teamId, channelId: channel.id, userId: user, originalTs: null }
  const path = deps.responseUrls.open('commands', asked)
  const responseUrl = deps.url + path
  const form = new URLSearchParams({
    token: world.app.verificationToken,
    team_id: channel.teamId,
    team_domain: world.teams.get(channel.teamId)?.domain ?? '',
    channel_id: channel.id,
    channel_name: channel.kind === 'direct' ? 'directmessage' : channel.name,
    user_id: user,
    user_name: user.toLowerCase(),
    command,
    text,
    api_app_id: world.app.id,
    is_enterprise_install: 'false',
    response_url: responseUrl,
    trigger_id: triggerId(),
  })
  const url = needed(deps.requestUrls().commands, 'commands')
  const sent = await deps.sender.send(url, form.toString(), FORM)
  if (sent.failure === null) showAnswer(world, path, asked, sent)
  return { sent, problem: problemOf(sent), responseUrl }
}

/** An empty acknowledgement shows nothing. */
function showAnswer(world: World, path: string, asked: Asked, { answer }: Sent): void {
  if (answer.trim() === '') return
  const parsed = parseJson(answer)
  respond(world, path, asked, isFields(parsed) ? parsed : { text: answer })
}

function problemOf({ failure, status }: Sent): Interaction['problem'] {
  if (failure === null) return null
  if (failure === 'http_timeout') return 'operation_timeout'
  return status !== null && status < 500 ? 'http_client_error' : 'http_service_error'
}

function triggerId(): string {
  return `${Date.now()}.${randomUUID().replaceAll('-', '')}`
}

/**
 * [Slack, interactivity: a form with the field `payload`, JSON of the type `block_actions`] What the app answers is not
 * shown.
 */
async function click(
  deps: PeopleDeps,
  { message, user, actionId, userTeamId }: Parameters<People['clickButton']>[0],
): Promise<Interaction> {
  const { world } = deps
  const { teamId, channelId, ts, ephemeralTo } = message
  const action = findButton(message, actionId)
  const asked = { teamId, channelId, userId: user, originalTs: ts }
  const responseUrl = deps.url + deps.responseUrls.open('actions', asked)
  const domain = world.teams.get(teamId)?.domain
  const isEphemeral = ephemeralTo !== null
  const payload = {
    type: 'block_actions',
    user: {
      id: user,
      username: user.toLowerCase(),
      name: user.toLowerCase(),
      team_id: userTeamId ?? teamId,
    },
    api_app_id: world.app.id,
    token: world.app.verificationToken,
    container: {
      type: 'message',
      message_ts: ts,
      channel_id: channelId,
      is_ephemeral: isEphemeral,
      ...(message.threadTs !== null && { thread_ts: message.threadTs }),
    },
    trigger_id: triggerId(),
    team: { id: teamId, domain },
    enterprise: null,
    is_enterprise_install: false,
    channel: { id: channelId, name: world.channels.get(channelId)?.name },
    // An ephemeral message is not sent along.
    ...(!isEphemeral && { message: { type: 'message', ...shownMessage(message) } }),
    state: { values: {} },
    response_url: responseUrl,
    actions: [{ ...action, action_ts: ts }],
  }
  const body = new URLSearchParams({ payload: JSON.stringify(payload) }).toString()
  const url = needed(deps.requestUrls().interactions, 'interactions')
  const sent = await deps.sender.send(url, body, FORM)
  return { sent, problem: problemOf(sent), responseUrl }
}

function shownMessage({ ts, text, blocks, threadTs }: Message) {
  return { ts, text, blocks, ...(threadTs !== null && { thread_ts: threadTs }) }
}

function findButton({ blocks }: Message, actionId: string): Fields {
  for (const block of blocks.filter(isFields)) {
    const elements: unknown[] = Array.isArray(block.elements) ? block.elements : [block.accessory]
    const button = elements.filter(isFields).find((one) => one.action_id === actionId)
    // Slack names a block that has no name.
    if (button !== undefined) return { ...button, block_id: block.block_id ?? makeId('b') }
  }
  throw new Error(`the message has no button ${actionId}`)
}
