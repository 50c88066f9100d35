import { randomBytes } from 'node:crypto'
import type { Fields } from './http.ts'
import { type Rendering, renderingOf } from './rendering.ts'

/** The app, as its owner sees it on its page at Slack. */
export interface App {
  readonly id: string
  readonly clientId: string
  readonly clientSecret: string
  readonly signingSecret: string
  /** Deprecated, and still sent. */
  readonly verificationToken: string
  /** Empty: every URL may be returned to. */
  readonly redirectUrls: readonly string[]
  readonly hasTokenRotation: boolean
}

export interface Team {
  readonly id: string
  readonly name: string
  readonly domain: string
}

export interface Channel {
  readonly id: string
  readonly teamId: string
  readonly name: string
  readonly kind: 'public' | 'private' | 'direct'
  /** Whether the app was invited. */
  hasBot: boolean
  isArchived: boolean
}

/** The app in one workspace. */
export interface Install {
  readonly teamId: string
  readonly botUserId: string
  readonly botId: string
  readonly scopes: Set<string>
  isActive: boolean
}

export interface Token {
  readonly value: string
  readonly teamId: string
  readonly expiresAtMs: number | null
  isRevoked: boolean
}

export interface RefreshToken {
  readonly value: string
  readonly teamId: string
  /** null: it was not used yet. */
  validUntilMs: number | null
}

export interface IncomingWebhook {
  readonly path: string
  readonly teamId: string
  readonly channelId: string
  isRemoved: boolean
}

export type Author =
  | { readonly kind: 'person'; readonly userId: string }
  | { readonly kind: 'bot'; readonly token: string }
  | { readonly kind: 'webhook'; readonly path: string }
  | { readonly kind: 'response'; readonly path: string }

export interface Message extends Rendering {
  readonly teamId: string
  readonly channelId: string
  readonly ts: string
  /** Of the message that its thread hangs on. */
  readonly threadTs: string | null
  readonly text: string
  readonly blocks: readonly unknown[]
  readonly by: Author
  /** The only one who sees it; null: the whole channel. */
  readonly ephemeralTo: string | null
  /** As it was posted. */
  readonly payload: Fields
}

export interface World {
  readonly app: App
  readonly now: () => number
  readonly teams: Map<string, Team>
  readonly channels: Map<string, Channel>
  /** By team. */
  readonly installs: Map<string, Install>
  readonly tokens: Map<string, Token>
  readonly refreshTokens: Map<string, RefreshToken>
  /** By path. */
  readonly webhooks: Map<string, IncomingWebhook>
  /** Oldest first. */
  readonly messages: Message[]
  /** How many messages there were, those that are gone too. */
  messageCount: number
}

export function makeWorld(app: App, now: () => number): World {
  return {
    app,
    now,
    teams: new Map(),
    channels: new Map(),
    installs: new Map(),
    tokens: new Map(),
    refreshTokens: new Map(),
    webhooks: new Map(),
    messages: [],
    messageCount: 0,
  }
}

const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567'

/** As Slack names things: a letter for the kind, then capitals and digits. */
export function makeId(kind: string, length = 10): string {
  const letters = [...randomBytes(length)].map((byte) => ALPHABET[byte % ALPHABET.length])
  return kind + letters.join('')
}

/** Names a message in its channel: seconds, a dot, six digits; later ones sort after. */
export function nextTs(world: World): string {
  world.messageCount += 1
  return `${Math.floor(world.now() / 1000)}.${String(world.messageCount).padStart(6, '0')}`
}

/**
 * [Slack, chat.postMessage: over 40,000 characters the text is truncated; from 4,041 on, as measured, it becomes several of
 * 4,000]
 */
export function splitText(text: string): string[] {
  const kept = text.slice(0, 40_000)
  if (kept.length <= 4040) return [kept]
  return kept.match(/[\s\S]{1,4000}/g) ?? []
}

export interface Posting {
  readonly teamId: string
  readonly channelId: string
  readonly threadTs: string | null
  readonly by: Author
  readonly payload: Fields
  /** null: everybody in the channel sees it. */
  readonly ephemeralTo?: string | null
  /** Of the message whose place it takes. */
  readonly ts?: string
}

/** Puts a message in its channel, or several where its text is too long for one; the first is what the caller is told. */
export function post(world: World, posting: Posting): Message {
  const { payload } = posting
  const text = typeof payload.text === 'string' ? payload.text : ''
  const blocks = Array.isArray(payload.blocks) ? payload.blocks : []
  const parts = blocks.length > 0 ? [text] : splitText(text)
  const messages = parts.map((part) => put(world, posting, { ...payload, text: part }, blocks))
  const [first] = messages
  if (first === undefined) throw new Error('a text has one part at least')
  return first
}

function put(world: World, posting: Posting, payload: Fields, blocks: readonly unknown[]): Message {
  const message: Message = {
    teamId: posting.teamId,
    channelId: posting.channelId,
    ts: posting.ts ?? nextTs(world),
    threadTs: posting.threadTs,
    text: String(payload.text),
    blocks,
    by: posting.by,
    ephemeralTo: posting.ephemeralTo ?? null,
    payload,
    ...renderingOf(payload),
  }
  const at = world.messages.findIndex(({ ts }) => ts === message.ts)
  if (at >= 0) world.messages[at] = message
  else world.messages.push(message)
  return message
}

export function findMessage(world: World, channelId: string, ts: string): Message | undefined {
  return world.messages.find((one) => one.channelId === channelId && one.ts === ts)
}
