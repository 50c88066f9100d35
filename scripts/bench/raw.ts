import { randomUUID } from 'node:crypto'
import { makeSign } from '../../src/security/signature.ts'
import { laneType, SAMPLE_BODY } from './body.ts'
import { openClient } from './client.ts'

/**
 * The raw ceiling, a process of its own: signs and POSTs the same bytes through the same client, and nothing else. Arguments:
 * URL, signing secret, requests, in flight, warm-up requests. Reports seconds to the parent.
 */
const [url = '', secret = '', requests, inFlight, warmUp] = process.argv.slice(2)

await using client = openClient()
const target = client.targetOf(url)
const sign = makeSign([secret])
const type = laneType(0)

async function sendMany(count: number): Promise<void> {
  let left = count
  const sendInTurn = async () => {
    while (left > 0) {
      left -= 1
      const id = randomUUID()
      await client.post(target, sign, { eventId: id, deliveryId: id, type, body: SAMPLE_BODY })
    }
  }
  await Promise.all(Array.from({ length: Number(inFlight) }, sendInTurn))
}

await sendMany(Number(warmUp))
const startedAt = performance.now()
await sendMany(Number(requests))
process.send?.({ seconds: (performance.now() - startedAt) / 1000 })
process.disconnect?.()
