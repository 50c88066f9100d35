import { hash } from 'node:crypto'
import { z } from 'zod'
import { cutText } from '../../core/cut.ts'
import type { ErrorDetail } from '../../core/error.ts'
import { MAX_HOST_ID_LENGTH } from '../../core/event.ts'
import type { Inbound, InboundRequest, InboundSecrets } from '../../core/provider.ts'
import { isPlainlySignedByAny, isSignedByAny, isTimely } from '../../security/signature.ts'

/** As long as that a key with its prefix fits 256 characters. */
const WEBHOOK_ID = /^[\x21-\x7e]{1,200}$/
const MAX_CONTENT_LENGTH = 32_000
const MAX_DETAILS = 20
const MAX_MESSAGE_LENGTH = 300
/** Who spoke, where the request does not say. */
const ANONYMOUS = { id: 'anonymous', name: null }

const text = (min: number, max: number) =>
  z
    .string()
    .min(min)
    .max(max)
    .refine((given) => !given.includes('\u0000'), 'must not have the character U+0000')

/** What cannot be stored as it is could become the same as another. */
const id = text(1, MAX_HOST_ID_LENGTH).refine(
  (given) => given.isWellFormed(),
  'must not have half a surrogate pair',
)

const message = z.strictObject({
  conversationId: id,
  content: text(1, MAX_CONTENT_LENGTH),
  externalUser: z.strictObject({ id, name: text(0, MAX_HOST_ID_LENGTH).optional() }).optional(),
  reply: z.boolean().optional(),
})

/**
 * Reads what a program posted: `{ conversationId, content, externalUser?, reply? }`, signed as Standard Webhooks 1.0 or, where
 * there is no `webhook-signature`, by `X-AI-Chat-Signature` over the body.
 *
 * The key is `webhook-id`. The simple signature can do without: then the key is a digest of the body, and the same body is the
 * same message for as long as keys are kept. It covers neither id nor time, so it keeps nobody from sending a recorded request
 * again under another id.
 */
export function readInbound(request: InboundRequest, { signingSecrets }: InboundSecrets): Inbound {
  const reason = signatureProblem(request, signingSecrets)
  if (reason !== null) return { kind: 'refused', reason }
  const webhookId = request.headers['webhook-id']
  if (webhookId !== undefined && !WEBHOOK_ID.test(webhookId)) {
    return invalid('webhook-id', 'must be 1 to 200 visible ASCII characters without spaces')
  }
  const json = parseJson(request.rawBody)
  if (!json.isJson) return invalid('body', 'is not JSON')
  const parsed = message.safeParse(json.value)
  if (!parsed.success) return { kind: 'invalid', details: detailsOf(parsed.error) }
  const { conversationId, content, externalUser, reply } = parsed.data
  return {
    kind: 'said',
    said: {
      key:
        webhookId === undefined
          ? `body:${hash('sha256', request.rawBody, 'hex')}`
          : `webhook:${webhookId}`,
      text: content,
      user:
        externalUser === undefined
          ? ANONYMOUS
          : { id: externalUser.id, name: externalUser.name || null },
      where: { conversationId },
      isAsking: reply === true,
    },
  }
}

/** Why a request is not from this integration's app, or null. */
function signatureProblem(
  { headers, rawBody, nowMs }: InboundRequest,
  secrets: readonly string[],
): string | null {
  if (secrets.length === 0) return 'the integration has no inbound secret: rotate it to get one'
  const signatures = headers['webhook-signature']
  if (signatures === undefined) {
    const plain = headers['x-ai-chat-signature']
    if (plain === undefined) return 'webhook-signature is missing'
    return isPlainlySignedByAny(secrets, plain, rawBody) ? null : 'X-AI-Chat-Signature does not fit'
  }
  const { 'webhook-id': webhookId = '', 'webhook-timestamp': timestamp = '' } = headers
  if (webhookId === '') return 'webhook-id is missing'
  if (timestamp === '') return 'webhook-timestamp is missing'
  if (!isTimely(timestamp, nowMs / 1000)) {
    return 'webhook-timestamp must be unix seconds, five minutes off at most'
  }
  return isSignedByAny(secrets, { id: webhookId, timestamp, signatures }, rawBody)
    ? null
    : 'webhook-signature does not fit'
}

function parseJson(
  body: string,
): { readonly isJson: true; readonly value: unknown } | { readonly isJson: false } {
  try {
    return { isJson: true, value: JSON.parse(body) }
  } catch {
    return { isJson: false }
  }
}

function detailsOf(error: z.ZodError): ErrorDetail[] {
  return error.issues.slice(0, MAX_DETAILS).map((issue) => ({
    path: issue.path.map(String).join('.') || 'body',
    message: cutText(issue.message, MAX_MESSAGE_LENGTH),
  }))
}

function invalid(path: string, message: string): Inbound {
  return { kind: 'invalid', details: [{ path, message }] }
}
