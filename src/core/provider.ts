import type { z } from 'zod'
import type { Answer } from './answer.ts'
import type { Outcome } from './delivery.ts'
import type { EventRecord } from './event.ts'

/** What a catalogue shows of a provider; data, so that it can be listed and stored. */
export interface ProviderManifest {
  readonly key: string
  readonly version: string
  readonly name: string
  readonly description: string
  readonly docsUrl: string
  readonly categories: readonly string[]
  /** What installing it allows, in words for an admin. */
  readonly permissions: readonly string[]
  readonly supportsWebhooks: boolean
  readonly supportsExternalTools: boolean
}

/** What leaves for one event. A signed body is ours (§5 of the architecture); an unsigned one is the app's own format. */
export interface OutgoingMessage {
  readonly body: string
  readonly isSigned: boolean
}

/** A kind of app. Everything that differs between apps is behind these members. */
export interface Provider {
  readonly manifest: ProviderManifest
  /** String members only; each is a secret. */
  readonly credentials: z.ZodType<Record<string, string>>
  readonly config: z.ZodType<Record<string, unknown>>
  /** Which addresses its URLs may reach. */
  readonly network: 'public' | 'internal'
  /** Why a URL is not one of this app, in words that say what to do instead; or null. */
  readonly urlProblem: (url: URL) => string | null
  /** What may be shown of a URL that is itself a secret; null: URLs of this app are no secrets. */
  readonly maskUrl: ((url: URL) => string) | null
  readonly render: (event: EventRecord) => OutgoingMessage
  readonly judge: (answer: Answer, nowMs: number) => Outcome
}
