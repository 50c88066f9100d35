import { createHmac } from 'node:crypto'
import { z } from 'zod'
import { cutText } from '../../core/cut.ts'
import type { Inbound, InboundRequest, InboundSecrets, Said } from '../../core/provider.ts'
import { isSameText } from '../../security/signature.ts'
import { plainText } from './html.ts'

const MIN_KEY_BYTES = 16
const MAX_AGE_MS = 15 * 60_000
const MAX_NAME_LENGTH = 256

const activityId = z
  .string()
  .regex(/^[\x21-\x7e]{1,240}$/, 'must be 1 to 240 visible ASCII characters')

const activity = z.object({ type: z.string() })
const message = z.object({
  id: activityId,
  timestamp: z.iso.datetime({ offset: true }),
  text: z.string().default(''),
  from: z.object({
    id: activityId,
    /** Of the person in the tenant, whatever the bot; missing for guests. */
    aadObjectId: activityId.nullish(),
    name: z.string().nullish(),
  }),
  conversation: z.object({ id: activityId }),
})

/** The key of an outgoing webhook: its security token, decoded. null: the text is no such token. [RFC 4648 §4] */
export function tokenKey(token: string): Buffer | null {
  if (!/^[A-Za-z0-9+/]+={0,2}$/.test(token) || token.length % 4 !== 0) return null
  const key = Buffer.from(token, 'base64')
  return key.length >= MIN_KEY_BYTES ? key : null
}

/**
 * Reads what a Teams outgoing webhook posts: a Bot Framework activity, signed over the raw body with the decoded token. Nothing
 * in the signature is fresh, so that whoever saw a request can send it again: one that is over 15 minutes off is refused, and
 * a younger one has the key of the first.
 */
export function readActivity(request: InboundRequest, { credentials }: InboundSecrets): Inbound {
  const problem = signatureProblem(request, credentials.outgoingWebhookToken)
  if (problem !== null) return { kind: 'refused', reason: problem }
  const body = parseJson(request.rawBody)
  const head = activity.safeParse(body)
  if (!head.success) return invalid(head.error)
  if (head.data.type !== 'message') {
    return { kind: 'ignored', reason: 'not a message: nobody said anything' }
  }
  const parsed = message.safeParse(body)
  if (!parsed.success) return invalid(parsed.error)
  if (Math.abs(request.nowMs - Date.parse(parsed.data.timestamp)) > MAX_AGE_MS) {
    return { kind: 'refused', reason: 'the activity’s timestamp is over 15 minutes off' }
  }
  const said = toSaid(parsed.data)
  return said.text === ''
    ? { kind: 'ignored', reason: 'there is no text beside the mention' }
    : { kind: 'said', said }
}

function signatureProblem({ headers, rawBody }: InboundRequest, token: string | undefined) {
  if (token === undefined) {
    return 'no security token of an outgoing webhook is stored: paste the one that Teams showed'
  }
  const key = tokenKey(token)
  if (key === null) return 'the stored security token is none: paste the one that Teams showed'
  const given = /^hmac +(\S+)$/i.exec(headers.authorization ?? '')?.[1]
  if (given === undefined) return 'the header authorization: HMAC … is missing'
  const expected = createHmac('sha256', key).update(rawBody).digest('base64')
  return isSameText(given, expected) ? null : 'the signature does not fit the body'
}

function toSaid({ id, text, from, conversation }: z.output<typeof message>): Said {
  // A name is no HTML; the database takes neither of the two that are taken out.
  const given = (from.name ?? '').replaceAll('\0', '\ufffd').toWellFormed().trim()
  const name = cutText(given, MAX_NAME_LENGTH)
  return {
    key: `activity:${id}`,
    text: plainText(text),
    user: { id: from.aadObjectId ?? from.id, name: name === '' ? null : name },
    where: {
      channel: conversation.id.replace(/;messageid=.*$/, ''),
      thread: conversation.id,
    },
    isAsking: true,
  }
}

function invalid(error: z.ZodError): Inbound {
  const details = error.issues.map(({ path, message: text }) => ({
    path: path.length === 0 ? 'body' : path.join('.'),
    message: text,
  }))
  return { kind: 'invalid', details }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    // What is no JSON is no activity, and is refused as such.
    return undefined
  }
}
