import type { Caller, Egress } from '../../../egress/egress.ts'
import { judgeEndpoint } from '../../circuit.ts'
import { mcpError } from './mcp-failure.ts'
import type { SendMcp } from './mcp-fetch.ts'

/** The way of an org's requests to its servers: judged each time, through egress alone. */
export function egressSend(
  egress: Pick<Egress, 'judge' | 'send'>,
  { orgId, network, domains }: Caller,
  userAgent: string,
): SendMcp {
  return async ({ url, method, headers, body, timeoutMs, maxBytes, signal }) => {
    const verdict = egress.judge(url, { orgId, network, domains })
    if (!verdict.isAllowed) {
      return { outcome: 'blocked', reason: `the URL ${verdict.reason}`, health: 'neither' }
    }
    const all = [...headers, 'user-agent', userAgent]
    const request = { method, headers: all, body, timeoutMs, maxBytes, signal }
    const answer = await egress.send(verdict.target, network, request)
    const health = judgeEndpoint(answer)
    switch (answer.kind) {
      case 'answer':
        return answer.encoding === null
          ? { ...answer, body: answer.body.toString() }
          : mcpError(`its answer is encoded (${answer.encoding}), unasked`)
      case 'timeout':
      case 'blocked':
        return { outcome: answer.kind, reason: answer.reason, health }
      case 'failed':
        return mcpError(answer.reason, health)
      case 'interrupted':
        return mcpError(
          signal.aborted ? 'interrupted before the server answered' : answer.reason,
          health,
        )
    }
  }
}
