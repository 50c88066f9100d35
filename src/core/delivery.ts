/** Where a delivery stands in its life; every status but `owed` is final. */
export type DeliveryStatus = 'owed' | 'delivered' | 'failed' | 'expired' | 'canceled'

export const DELIVERY_STATUSES = ['owed', 'delivered', 'failed', 'expired', 'canceled'] as const

/** What asked for a try. */
export type Trigger = 'schedule' | 'manual' | 'recovery' | 'test'

/** What an app's refusal means beyond this try. */
export interface Consequence {
  /**
   * `subscription`: it is disabled, `integration`: it is disconnected, both until a person mends it, and nothing that is owed
   * is lost; `token`: the integration's access token is to be refreshed; `delivery`: what was sent is refused as it is, so that
   * sending it again changes nothing.
   */
  readonly stops: 'subscription' | 'integration' | 'token' | 'delivery'
  /** For a person: what happened and what to do. */
  readonly reason: string
}

/** What one try came to. What happened at someone else's endpoint is a value, not an error. */
export type Outcome =
  | { readonly kind: 'delivered'; readonly statusCode: number; readonly snippet: string }
  /** The receiver asks for less: 429, or 503 with Retry-After. */
  | {
      readonly kind: 'throttled'
      readonly statusCode: number
      readonly snippet: string
      readonly error: string
      readonly retryAfterMs: number | null
    }
  /** 410: the receiver wants nothing more, ever. */
  | {
      readonly kind: 'gone'
      readonly statusCode: 410
      readonly snippet: string
      readonly error: string
    }
  | {
      readonly kind: 'failed'
      readonly statusCode: number | null
      readonly snippet: string | null
      readonly error: string
      readonly consequence?: Consequence
    }
  /** The address may not be called. Nothing left the machine. */
  | { readonly kind: 'blocked'; readonly error: string }
  /** Our shutdown, our database, our trouble. Costs the endpoint nothing. */
  | {
      readonly kind: 'interrupted'
      readonly error: string
      /** How long our trouble will last, about, if not for a moment. */
      readonly waitMs?: number
      readonly consequence?: Consequence
    }
  /** Too old to be sent (`maxAgeSeconds`). Nothing left the machine. */
  | { readonly kind: 'expired'; readonly error: string }

export type OutcomeKind = Outcome['kind']
