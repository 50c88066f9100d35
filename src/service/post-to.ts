import { AppError } from '../core/error.ts'
import type { CallApp } from '../core/provider.ts'
import type { Network } from '../egress/reach.ts'

/**
 * Posts JSON to a URL that came with a question or a click.
 *
 * @throws AppError `UNAVAILABLE` where it was not taken
 */
export function makePostTo(callApp: (orgId: string, network: Network) => Promise<CallApp>) {
  return async (orgId: string, network: Network, url: string, body: string): Promise<void> => {
    const call = await callApp(orgId, network)
    const headers = ['content-type', 'application/json']
    const answer = await call({ method: 'POST', url, headers, body })
    const isTaken = answer.isAnswer && answer.statusCode >= 200 && answer.statusCode < 300
    if (isTaken) return
    const why = answer.isAnswer ? `HTTP ${answer.statusCode}` : answer.reason
    throw new AppError('UNAVAILABLE', `the app did not take the answer: ${why}`)
  }
}
