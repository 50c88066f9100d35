import { createHmac } from 'node:crypto'

/**
 * The value of `X-Slack-Signature`. [Slack, verifying requests: `v0=` and the hex HMAC-SHA256 of `v0:<timestamp>:<raw
 * body>`, keyed by the signing secret as UTF-8]
 */
export function signV0(signingSecret: string, timestampS: number, rawBody: string): string {
  const signed = `v0:${timestampS}:${rawBody}`
  return `v0=${createHmac('sha256', signingSecret).update(signed).digest('hex')}`
}
