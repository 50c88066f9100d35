import packageJson from '../../package.json' with { type: 'json' }
import type { CallApp } from '../core/provider.ts'
import type { Egress } from '../egress/egress.ts'
import type { Network } from '../egress/reach.ts'

const TIMEOUT_MS = 10_000
const MAX_ANSWER_BYTES = 262_144

interface CallAppDeps {
  readonly egress: Pick<Egress, 'judge' | 'send'>
  readonly domainsOf: (orgId: string) => Promise<readonly string[] | null>
}

/** Calls an app on behalf of an org, by the same rules as its deliveries. What the app does is a value. */
export function makeCallApp({ egress, domainsOf }: CallAppDeps) {
  return async function callAppFor(orgId: string, network: Network): Promise<CallApp> {
    const domains = await domainsOf(orgId)
    return async ({ method, url, headers, body, maxBytes = MAX_ANSWER_BYTES }) => {
      const verdict = egress.judge(url, { orgId, network, domains })
      if (!verdict.isAllowed) return { isAnswer: false, reason: `the URL ${verdict.reason}` }
      const result = await egress.send(verdict.target, network, {
        method,
        headers: [...headers, 'user-agent', `Patchbay/${packageJson.version}`],
        body,
        timeoutMs: TIMEOUT_MS,
        maxBytes,
      })
      if (result.kind !== 'answer') return { isAnswer: false, reason: result.reason }
      const { statusCode, headers: answered, isCut } = result
      return { isAnswer: true, statusCode, headers: answered, body: result.body.toString(), isCut }
    }
  }
}
