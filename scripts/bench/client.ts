import { parseAllowList } from '../../src/egress/allow-list.ts'
import { openEgress } from '../../src/egress/egress.ts'
import type { Target } from '../../src/egress/url.ts'
import type { Sign } from '../../src/security/signature.ts'

export interface Webhook {
  readonly eventId: string
  readonly deliveryId: string
  readonly type: string
  readonly body: string
}

/** The product's own client, signing and headers with nothing around them: what the raw ceiling and the baseline send with. */
export function openClient() {
  const egress = openEgress({
    isHttpAllowed: true,
    allow: parseAllowList(['127.0.0.1']),
    allowInternal: parseAllowList([]),
  })
  return {
    targetOf: (url: string): Target => {
      const verdict = egress.judge(url, { orgId: 'bench', network: 'public', domains: null })
      if (!verdict.isAllowed) throw new Error(verdict.reason)
      return verdict.target
    },
    /** Throws for any answer but 200. Returns its body. */
    post: async (
      target: Target,
      sign: Sign,
      { eventId, deliveryId, type, body }: Webhook,
    ): Promise<string> => {
      const timestampS = Math.floor(Date.now() / 1000)
      const signature = sign(eventId, timestampS, body)
      const result = await egress.send(target, 'public', {
        method: 'POST',
        headers: [
          'content-type',
          'application/json',
          'user-agent',
          'Patchbay/bench',
          'X-AI-Chat-Event',
          type,
          'X-AI-Chat-Signature',
          signature.plain,
          'X-AI-Chat-Delivery',
          deliveryId,
          'X-AI-Chat-Attempt',
          '1',
          'webhook-id',
          eventId,
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
      if (result.statusCode !== 200) throw new Error(`the receiver answered ${result.statusCode}`)
      return result.body.toString()
    },
    [Symbol.asyncDispose]: () => egress[Symbol.asyncDispose](),
  }
}
