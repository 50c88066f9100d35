import { createHmac, timingSafeEqual } from 'node:crypto'
import type { IncomingHttpHeaders } from 'node:http'
import { createRemoteJWKSet, jwtVerify } from 'jose'

export interface Trust {
  /** `toolSecret` of the integration. */
  readonly toolSecret: string
  /** Where Patchbay answers. */
  readonly patchbayUrl: string
  /** Its `PUBLIC_URL`; `patchbay` where that is not set. */
  readonly issuer: string
  /** Scheme, host and port of the tool's URL, like `https://api.example.com`. */
  readonly audience: string
}

interface Claims {
  readonly org: string
  readonly conversation: string | null
  readonly tool: string
}

/** Says of a request for whom it is made. Throws where it is none of Patchbay's, or is meant for somebody else. */
export function makeVerifyCall({ toolSecret, patchbayUrl, issuer, audience }: Trust) {
  const key = Buffer.from(toolSecret.replace(/^whsec_/, ''), 'base64')
  const keys = createRemoteJWKSet(new URL('/.well-known/jwks.json', patchbayUrl))
  return async function verifyCall(headers: IncomingHttpHeaders, rawBody: Buffer) {
    if (!isGenuine(key, headers, rawBody)) throw new Error('The signature does not fit.')
    const token = String(headers['x-ai-chat-context'])
    const typ = 'patchbay-context+jwt'
    const must = { issuer, audience, typ, algorithms: ['EdDSA'] }
    const { payload } = await jwtVerify<Claims>(token, keys, must)
    const { sub: userId, org: orgId, conversation: conversationId, tool, jti: runId } = payload
    if (runId !== headers['webhook-id']) throw new Error('The token is that of another call.')
    return { orgId, userId, conversationId, tool, runId }
  }
}

/** As for any webhook [Standard Webhooks 1.0]; a call without a body is signed as one of no bytes. */
function isGenuine(key: Buffer, headers: IncomingHttpHeaders, rawBody: Buffer): boolean {
  const timestamp = String(headers['webhook-timestamp'])
  const isNow = Math.abs(Date.now() / 1000 - Number(timestamp)) <= 300
  if (!/^\d{1,12}$/.test(timestamp) || !isNow) return false
  const hmac = createHmac('sha256', key).update(`${headers['webhook-id']}.${timestamp}.`)
  const expected = Buffer.from(`v1,${hmac.update(rawBody).digest('base64')}`)
  return String(headers['webhook-signature'])
    .split(' ')
    .some((entry) => {
      const given = Buffer.from(entry)
      return given.length === expected.length && timingSafeEqual(given, expected)
    })
}
