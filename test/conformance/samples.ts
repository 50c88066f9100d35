import type { Consequence } from '../../src/core/delivery.ts'
import type {
  Credentials,
  InboundRequest,
  InboundSecrets,
  Provider,
  Sender,
} from '../../src/core/provider.ts'

export const INTEGRATION_ID = '01a1f3c2-9d4e-7c11-8a51-6f0e2b7d9c06'

/** What an app answers to a message. */
export interface AnswerSample {
  readonly statusCode: number
  readonly body: string
}

/** A URL that the provider takes, and what the app behind it answers. */
export interface UrlSample {
  readonly url: string
  /** Parts of the URL that nobody may see. None: the URL is no secret, and is shown as it is. */
  readonly secrets: readonly string[]
  /** Answers to a message that was taken. */
  readonly taken: readonly AnswerSample[]
  /** Answers after which a person has to do something, and what stops until then. */
  readonly endings: readonly (AnswerSample & { readonly stops: Consequence['stops'] })[]
}

/** What a provider's app looks like from outside: the suite knows no app by itself. */
export interface ProviderSamples {
  readonly urls: readonly UrlSample[]
  /** What somebody may paste by mistake, with the parts of it that must not be said back. */
  readonly wrongUrls: readonly { readonly url: string; readonly secrets: readonly string[] }[]
  /** Whole and right, as they are stored. */
  readonly credentials: readonly Credentials[]
  /** Members of credentials that are no secrets. */
  readonly publicCredentials: readonly string[]
  /** Of the right names, with values of the wrong kind. */
  readonly wrongCredentials: readonly Credentials[]
  readonly configs: readonly Readonly<Record<string, unknown>>[]
  /** It cannot be without a config. */
  readonly needsConfig?: true
  readonly wrongConfigs: readonly Readonly<Record<string, unknown>>[]
  /** Of a message as it leaves; null: the app names no limit. */
  readonly maxBodyBytes: number | null
  /** What would ping people or hide where a link goes, were it in a message; null: the message is for programs. */
  readonly harmful: RegExp | null
  readonly inbound: InboundSample | null
}

export interface InboundSample {
  readonly secrets: InboundSecrets
  /** The body of a message of somebody to the assistant, as the app writes it at that time. */
  readonly makeBody: (nowMs: number) => string
  /** That body or another, signed as the app does at that time. */
  readonly sign: (rawBody: string, nowMs: number) => InboundRequest
}

export function openSample(
  provider: Provider,
  samples: ProviderSamples,
  { url }: UrlSample,
): Sender {
  const [credentials = {}] = samples.credentials
  return provider.open({ url, integrationId: INTEGRATION_ID, credentials })
}

/** Everything about a sample that must not come out in words. */
export function secretsOf(samples: ProviderSamples): string[] {
  const hidden = samples.credentials.flatMap((all) =>
    Object.entries(all).filter(([name]) => !samples.publicCredentials.includes(name)),
  )
  return [...samples.urls.flatMap(({ secrets }) => secrets), ...hidden.map(([, value]) => value)]
}
