import { createHmac } from 'node:crypto'

/** The headers of Standard Webhooks 1.0 for a message to us. */
export function signed(secret: string, id: string, body: Buffer): Record<string, string> {
  const timestamp = `${Math.floor(Date.now() / 1000)}`
  const key = Buffer.from(secret.replace(/^whsec_/, ''), 'base64')
  const mac = createHmac('sha256', key).update(`${id}.${timestamp}.`).update(body).digest('base64')
  return { 'webhook-id': id, 'webhook-timestamp': timestamp, 'webhook-signature': `v1,${mac}` }
}
