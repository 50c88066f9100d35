import { createHmac, hash, randomBytes, timingSafeEqual } from 'node:crypto'

const PREFIX = 'whsec_'
const MIN_SECRET_BYTES = 24
const DEFAULT_TOLERANCE_S = 300

/** The two signatures of one webhook, in the values of their headers. */
export interface SignatureHeaders {
  /** `webhook-signature`: one `v1,<base64>` for each secret that is still valid, space-separated */
  readonly standard: string
  /** `X-AI-Chat-Signature`: lower-case hex, by the newest secret */
  readonly plain: string
}

export type Sign = (id: string, timestampS: number, body: string | Buffer) => SignatureHeaders

/** A new signing secret: `whsec_` and 32 random bytes in base64. */
export function newSigningSecret(): string {
  return PREFIX + randomBytes(32).toString('base64')
}

/**
 * Prepares signing with a subscription's secrets, newest first. Standard Webhooks 1.0 signs `id.timestamp.body` with the
 * secret's decoded bytes; the plain signature is over the body alone with the secret's text as key.
 *
 * @throws Error for a secret of under 24 bytes
 */
export function makeSign(secrets: readonly string[]): Sign {
  const [newest] = secrets
  if (newest === undefined) throw new Error('a subscription has at least one secret')
  // Buffers, no key objects: as fast, and a worker keeps those of many thousand subscriptions.
  const plainKey = alone(Buffer.from(newest))
  const keys = secrets.map((secret) => alone(secretBytes(secret)))
  return (id, timestampS, body) => {
    const head = `${id}.${timestampS}.`
    return {
      standard: keys
        .map((key) => `v1,${createHmac('sha256', key).update(head).update(body).digest('base64')}`)
        .join(' '),
      plain: createHmac('sha256', plainKey).update(body).digest('hex'),
    }
  }
}

/** The same bytes in memory of their own: what is cut from Node's pool keeps all of a slab, with whatever else came from it. */
function alone(bytes: Buffer): Buffer {
  const own = Buffer.allocUnsafeSlow(bytes.length)
  bytes.copy(own)
  return own
}

export class WebhookVerificationError extends Error {
  override readonly name = 'WebhookVerificationError'
}

/** A webhook whose signature held. */
export interface WebhookEvent {
  readonly id: string
  readonly type: string
  readonly timestamp: string
  readonly orgId: string
  readonly conversationId?: string
  readonly data: Record<string, unknown>
}

export interface VerifyOptions {
  /** How far `webhook-timestamp` may be off, both ways. Default 300. */
  readonly toleranceS?: number
  readonly nowS?: number
}

/**
 * Verifies a webhook on the receiving side (Standard Webhooks 1.0) and parses it. Give it the raw body, before any parsing:
 * the signature is over those bytes.
 *
 * @param headers with lower-case names, as Node gives them
 * @throws WebhookVerificationError when a header is missing, the time is off, or no signature fits
 * @throws Error for a secret of under 24 bytes, whatever the webhook
 */
export function verifyWebhook(
  secret: string,
  headers: Readonly<Record<string, string | string[] | undefined>>,
  rawBody: string | Buffer,
  options: VerifyOptions = {},
): WebhookEvent {
  const key = secretBytes(secret)
  const id = headerText(headers, 'webhook-id')
  const timestamp = headerText(headers, 'webhook-timestamp')
  const signatures = headerText(headers, 'webhook-signature')
  const nowS = options.nowS ?? Date.now() / 1000
  if (!isTimely(timestamp, nowS, options.toleranceS)) {
    throw new WebhookVerificationError('webhook-timestamp is not within the tolerance')
  }
  if (!isSignedBy(key, { id, timestamp, signatures }, rawBody)) {
    throw new WebhookVerificationError('no signature fits')
  }
  return JSON.parse(rawBody.toString())
}

/** The three headers of Standard Webhooks 1.0, as they came. */
interface StandardHeaders {
  readonly id: string
  readonly timestamp: string
  /** Entries separated by spaces; those of other schemes than v1 are passed over. */
  readonly signatures: string
}

/** Whether `webhook-timestamp` (unix seconds) is near enough, both ways. */
export function isTimely(
  timestamp: string,
  nowS: number,
  toleranceS: number = DEFAULT_TOLERANCE_S,
): boolean {
  return /^\d{1,12}$/.test(timestamp) && Math.abs(nowS - Number(timestamp)) <= toleranceS
}

/**
 * Whether any of the secrets made any of the signatures (Standard Webhooks 1.0). Says nothing about the time.
 *
 * @throws Error for a secret of under 24 bytes
 */
export function isSignedByAny(
  secrets: readonly string[],
  headers: StandardHeaders,
  rawBody: string | Buffer,
): boolean {
  return secrets.map(secretBytes).some((key) => isSignedBy(key, headers, rawBody))
}

/**
 * Whether any of the secrets made this `X-AI-Chat-Signature`: lower-case hex, over the body alone, the secret's text for the key.
 *
 * @throws Error for a secret of under 24 bytes
 */
export function isPlainlySignedByAny(
  secrets: readonly string[],
  signature: string,
  rawBody: string | Buffer,
): boolean {
  return secrets.some((secret) => {
    // Throws for one that is none.
    secretBytes(secret)
    return isSameText(signature, createHmac('sha256', secret).update(rawBody).digest('hex'))
  })
}

function isSignedBy(
  key: Buffer,
  { id, timestamp, signatures }: StandardHeaders,
  rawBody: string | Buffer,
): boolean {
  const expected = createHmac('sha256', key)
    .update(`${id}.${timestamp}.`)
    .update(rawBody)
    .digest('base64')
  return signatures.split(' ').some((entry) => isSameText(entry, `v1,${expected}`))
}

/** Compares in constant time, whatever the lengths. */
export function isSameText(a: string, b: string): boolean {
  return timingSafeEqual(hash('sha256', a, 'buffer'), hash('sha256', b, 'buffer'))
}

/** Refuses what a missing setting leaves behind (`''`, `'undefined'`): under such a key anyone can sign. */
function secretBytes(secret: string): Buffer {
  const text = secret.startsWith(PREFIX) ? secret.slice(PREFIX.length) : secret
  const bytes = Buffer.from(text, 'base64')
  if (bytes.length < MIN_SECRET_BYTES) {
    throw new Error(`a signing secret is whsec_ and at least ${MIN_SECRET_BYTES} bytes in base64`)
  }
  return bytes
}

function headerText(
  headers: Readonly<Record<string, string | string[] | undefined>>,
  name: string,
): string {
  const value = headers[name]
  if (typeof value === 'string' && value !== '') return value
  throw new WebhookVerificationError(`${name} is missing`)
}
