import { randomUUID } from 'node:crypto'
import { parseAllowList } from '../../src/egress/allow-list.ts'
import { openEgress } from '../../src/egress/egress.ts'
import { makeSign, newSigningSecret } from '../../src/security/signature.ts'

/**
 * The raw ceiling, a process of its own: signs and POSTs the same bytes through the same client, and nothing else. Arguments:
 * URL, requests, in flight. Reports seconds to the parent.
 */
const [url = '', requests = '0', inFlight = '0', bodyBytes = '1024'] = process.argv.slice(2)

const egress = openEgress({
  isHttpAllowed: true,
  allow: parseAllowList(['127.0.0.1']),
  allowInternal: parseAllowList([]),
})
const verdict = egress.judge(url, 'public')
if (!verdict.isAllowed) throw new Error(verdict.reason)
const { target } = verdict
const sign = makeSign([newSigningSecret()])
const body = JSON.stringify({ filler: 'x'.repeat(Number(bodyBytes) - 13) })

async function sendMany(count: number): Promise<void> {
  let left = count
  const lane = async () => {
    while (left > 0) {
      left -= 1
      const id = randomUUID()
      const timestampS = Math.floor(Date.now() / 1000)
      const signature = sign(id, timestampS, body)
      const result = await egress.send(target, 'public', {
        method: 'POST',
        headers: [
          'content-type',
          'application/json',
          'user-agent',
          'Patchbay/bench',
          'accept-encoding',
          'identity',
          'X-AI-Chat-Event',
          'bench.event',
          'X-AI-Chat-Signature',
          signature.plain,
          'X-AI-Chat-Delivery',
          id,
          'X-AI-Chat-Attempt',
          '1',
          'webhook-id',
          id,
          'webhook-timestamp',
          String(timestampS),
          'webhook-signature',
          signature.standard,
        ],
        body,
        timeoutMs: 15_000,
        maxBytes: 16_384,
      })
      if (result.kind !== 'answer') throw new Error(result.reason)
    }
  }
  await Promise.all(Array.from({ length: Number(inFlight) }, lane))
}

await sendMany(2000)
const startedAt = performance.now()
await sendMany(Number(requests))
process.send?.({ seconds: (performance.now() - startedAt) / 1000 })
await egress[Symbol.asyncDispose]()
process.disconnect?.()
