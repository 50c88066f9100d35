import { randomUUID } from 'node:crypto'
import { on } from 'node:events'
import { makeSign } from '../../src/security/signature.ts'
import { laneType, SAMPLE_BODY } from './body.ts'
import { openClient } from './client.ts'

/**
 * The raw ceiling, a process of its own: signs and POSTs the same bytes through the same client, and nothing else. Arguments:
 * URL, signing secret, in flight. Each message of the parent is a count of requests; the answer is how many seconds they took.
 */
const [url = '', secret = '', inFlight] = process.argv.slice(2)

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

for await (const [requests] of on(process, 'message', { close: ['disconnect'] })) {
  const startedAt = performance.now()
  await sendMany(Number(requests))
  process.send?.({ seconds: (performance.now() - startedAt) / 1000 })
}
