import { randomUUID } from 'node:crypto'
import { parseAllowList } from '../../src/egress/allow-list.ts'
import { openEgress } from '../../src/egress/egress.ts'
import { makeSign } from '../../src/security/signature.ts'
import { laneType, SAMPLE_BODY } from './body.ts'

/**
 * The raw ceiling, a process of its own: signs and POSTs the same bytes through the same client, and nothing else. Arguments:
 * URL, signing secret, requests, in flight, warm-up requests. Reports seconds to the parent.
 */
const [url = '', secret = '', requests, inFlight, warmUp] = process.argv.slice(2)

const egress = openEgress({
  isHttpAllowed: true,
  allow: parseAllowList(['127.0.0.1']),
  allowInternal: parseAllowList([]),
})
const verdict = egress.judge(url, { orgId: 'bench', network: 'public', domains: null })
if (!verdict.isAllowed) throw new Error(verdict.reason)
const { target } = verdict
const sign = makeSign([secret])

async function sendOne(): Promise<void> {
  const id = randomUUID()
  const timestampS = Math.floor(Date.now() / 1000)
  const signature = sign(id, timestampS, SAMPLE_BODY)
  const result = await egress.send(target, 'public', {
    method: 'POST',
    headers: [
      'content-type',
      'application/json',
      'user-agent',
      'Patchbay/bench',
      'X-AI-Chat-Event',
      laneType(0),
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
    body: SAMPLE_BODY,
    timeoutMs: 15_000,
    maxBytes: 16_384,
  })
  if (result.kind !== 'answer') throw new Error(result.reason)
  if (result.statusCode !== 200) throw new Error(`the receiver answered ${result.statusCode}`)
}

async function sendMany(count: number): Promise<void> {
  let left = count
  const sendInTurn = async () => {
    while (left > 0) {
      left -= 1
      await sendOne()
    }
  }
  await Promise.all(Array.from({ length: Number(inFlight) }, sendInTurn))
}

await sendMany(Number(warmUp))
const startedAt = performance.now()
await sendMany(Number(requests))
process.send?.({ seconds: (performance.now() - startedAt) / 1000 })
await egress[Symbol.asyncDispose]()
process.disconnect?.()
