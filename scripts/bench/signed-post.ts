import { parseAllowList } from '../../src/egress/allow-list.ts'
import { openEgress } from '../../src/egress/egress.ts'
import { makeSign, newSigningSecret } from '../../src/security/signature.ts'
import { ORG } from './body.ts'

export interface SignedPost extends AsyncDisposable {
  /** Throws where it is not answered with 200. */
  readonly post: (id: string, type: string, body: string) => Promise<void>
}

/** Signs a webhook and POSTs it through the product's client, and nothing else. */
export function openSignedPost(url: string, secret = newSigningSecret()): SignedPost {
  const egress = openEgress({
    isHttpAllowed: true,
    allow: parseAllowList(['127.0.0.1']),
    allowInternal: parseAllowList([]),
  })
  const verdict = egress.judge(url, { orgId: ORG, network: 'public', domains: null })
  if (!verdict.isAllowed) throw new Error(verdict.reason)
  const { target } = verdict
  const sign = makeSign([secret])
  return {
    post: async (id, type, body) => {
      const timestampS = Math.floor(Date.now() / 1000)
      const signature = sign(id, timestampS, body)
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
      if (result.statusCode !== 200) throw new Error(`the receiver answered ${result.statusCode}`)
    },
    [Symbol.asyncDispose]: () => egress[Symbol.asyncDispose](),
  }
}
