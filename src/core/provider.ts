import type { z } from 'zod'
import type { Answer } from './answer.ts'
import type { Outcome } from './delivery.ts'
import type { ErrorDetail } from './error.ts'
import type { EventRecord } from './event.ts'

/** What a catalogue shows of a provider; data, so that it can be listed, stored and offered without code of ours. */
export interface ProviderManifest {
  /** Of this shape; grows when a member changes its meaning. */
  readonly schemaVersion: 1
  readonly key: string
  /** Of the provider, semver. */
  readonly version: string
  readonly name: string
  readonly description: string
  readonly docsUrl: string
  readonly categories: readonly string[]
  /** What installing it allows, in words for an admin. */
  readonly permissions: readonly string[]
  /** Events out. */
  readonly supportsWebhooks: boolean
  /** Tools that the org defines on its endpoints. */
  readonly supportsExternalTools: boolean
  /** People out there take part in conversations. */
  readonly supportsInbound: boolean
  /** How it comes to be installed: by an admin who pastes what the app gave, or by a click through the app's own consent page. */
  readonly install: 'paste' | 'oauth'
  /** What `verify` tries, in words for an admin. */
  readonly verification: string
}

export type Credentials = Readonly<Record<string, string>>

/** What leaves for one event. A signed body is ours (§5 of the architecture); an unsigned one is the app's own format. */
export interface OutgoingMessage {
  readonly body: string
  readonly isSigned: boolean
}

/** How the app wants the deliveries of one subscription: made once when it is opened. */
export interface Sender {
  /** What is called; the subscription's own URL, or what it stands for. */
  readonly url: string
  /** Name, value, … of the app itself; after the org's own. */
  readonly headers: readonly string[]
  /** Values that an answer must not bring into the history. */
  readonly secrets: readonly string[]
  /** Of an answer, as much as `judge` and `threadOf` need; the rest is not read. */
  readonly maxAnswerBytes: number
  /** Where one conversation is one thread: the channel whose threads they are. null: there are no threads. */
  readonly channel: string | null
  /** @param thread of the event's conversation in the channel; null where it has none yet, or there are no threads */
  readonly render: (event: EventRecord, thread: string | null) => OutgoingMessage
  readonly judge: (answer: Answer, nowMs: number) => Outcome
  /** The thread that a delivered message has begun, or goes on. */
  readonly threadOf: (answer: Answer) => string | null
}

export interface LaneOfApp {
  readonly url: string
  readonly integrationId: string
  readonly credentials: Credentials
}

/** What a new subscription gets where the org says nothing. */
export interface SubscriptionDefaults {
  readonly rateLimit?: { readonly perSecond: number }
  readonly ordering?: 'none' | 'conversation'
}

/** One request of ours to an app, and what came of it. Goes out as everything does: see `egress/`. */
export type CallApp = (request: {
  readonly method: 'GET' | 'POST' | 'DELETE'
  readonly url: string
  /** Name, value, … */
  readonly headers: readonly string[]
  readonly body: string | null
  /** Of the answer's body; left out: 256 KiB. The rest is not read. */
  readonly maxBytes?: number
}) => Promise<
  | {
      readonly isAnswer: true
      readonly statusCode: number
      readonly body: string
      /** Names in lower case. */
      readonly headers?: Readonly<Record<string, string | string[] | undefined>>
      readonly isCut?: boolean
    }
  | { readonly isAnswer: false; readonly reason: string }
>

export interface Verification {
  readonly ok: boolean
  /** For an admin: what was tried, what came of it, and what to do. */
  readonly detail: string
}

/** A request of an app to us, as it came. */
export interface InboundRequest {
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string | undefined>>
  readonly rawBody: string
  readonly nowMs: number
}

/** What somebody said to the assistant out there. */
export interface Said {
  /** What the app calls it: the same key again is the same message. 256 characters at most. */
  readonly key: string
  readonly text: string
  readonly user: { readonly id: string; readonly name: string | null }
  /** Which conversation; or where it was said, of which every thread is a conversation of its own. */
  readonly where:
    | { readonly conversationId: string }
    | { readonly channel: string; readonly thread: string }
  /** Whether the assistant is to answer. */
  readonly isAsking: boolean
}

export type Inbound =
  /** Its signature does not hold. */
  | { readonly kind: 'refused'; readonly reason: string }
  /** It is signed, and makes no sense. */
  | { readonly kind: 'invalid'; readonly details: readonly ErrorDetail[] }
  /** Nothing to do: acknowledged. */
  | { readonly kind: 'ignored'; readonly reason: string }
  | { readonly kind: 'said'; readonly said: Said }

/** What signs the requests of one integration's app. */
export interface InboundSecrets {
  readonly credentials: Credentials
  /** Those of ours that are valid, newest first. */
  readonly signingSecrets: readonly string[]
}

/** A kind of app. Everything that differs between apps is behind these members. */
export interface Provider {
  readonly manifest: ProviderManifest
  /** String members only; each is a secret. */
  readonly credentials: z.ZodType<Record<string, string>>
  readonly config: z.ZodType<Record<string, unknown>>
  /** The member of the config that is called on the org's behalf again and again, to be judged when it is saved; or null. */
  readonly configUrl: (
    config: Readonly<Record<string, unknown>>,
  ) => { readonly path: string; readonly url: string } | null
  /** Which addresses its URLs may reach. */
  readonly network: 'public' | 'internal'
  /** Why a URL is not one of this app, in words that say what to do instead; or null. */
  readonly urlProblem: (url: URL) => string | null
  /** What may be shown of a URL that is itself a secret; null: this URL is none. */
  readonly maskUrl: (url: URL) => string | null
  readonly defaults: SubscriptionDefaults
  /** The URL of a subscription that posts to a channel with the integration's own credentials; null: there are no channels. */
  readonly channelUrl: ((channel: string) => string) | null
  /** Whether `open` needs the integration's credentials for this URL. */
  readonly needsCredentials: (url: string) => boolean
  readonly open: (lane: LaneOfApp) => Sender
  /** Tries the credentials against the app; sends nothing that people would see. */
  readonly verify: (
    app: { readonly credentials: Credentials; readonly config: Readonly<Record<string, unknown>> },
    call: CallApp,
  ) => Promise<Verification>
  /** The body of an answer where the app takes one: in the response to a question, or at a URL that came with it. null: nowhere. */
  readonly renderAnswer: ((text: string) => string) | null
  /** Who makes the secret that requests to us are signed with: we, or the app. null: there are none. */
  readonly inboundSecret: 'ours' | 'app' | null
  /** Reads what was posted to one integration; null: nothing is, or (Slack) to the installation as a whole. */
  readonly readInbound: ((request: InboundRequest, secrets: InboundSecrets) => Inbound) | null
}
