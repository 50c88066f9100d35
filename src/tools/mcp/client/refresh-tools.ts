import { setTimeout as sleep } from 'node:timers/promises'
import type { Actor } from '../../../core/actor.ts'
import { AppError, notFound } from '../../../core/error.ts'
import type { InOrg } from '../../../db/tenants.ts'
import type { makeReadTools, ToolsReading } from './read-tools.ts'
import { lookAtReading } from './reading-rows.ts'

/** As long as a reading of another process may well take. */
const WAIT_MS = 15_000
const LOOK_EVERY_MS = 250

interface RefreshToolsDeps {
  readonly inOrg: InOrg
  readonly readTools: ReturnType<typeof makeReadTools>
}

/**
 * Reads the tools of an integration because a person asked, however fresh they are; where another process is at it, after
 * that one.
 *
 * @throws AppError `NOT_FOUND`; `UNPROCESSABLE` where it is no MCP server, or disabled; `TOOL_FAILED` or `TOOL_TIMEOUT` where
 * the server could not be read: then the tools are as they were; `CONFLICT` where others read it all the time
 */
export function makeRefreshTools({ inOrg, readTools }: RefreshToolsDeps) {
  return async function refreshTools(
    orgId: string,
    integrationId: string,
    by: Actor,
  ): Promise<ToolsReading> {
    const found = await inOrg(orgId, (_, client) => lookAtReading(client, orgId, integrationId))
    if (found === null) throw notFound('integration')
    if (!found.isMcp) {
      throw new AppError('UNPROCESSABLE', 'Only the tools of an MCP server are read from it.')
    }
    if (!found.isEnabled) {
      throw new AppError('UNPROCESSABLE', 'The integration is disabled: enable it first.')
    }
    for (let waitedMs = 0; waitedMs < WAIT_MS; waitedMs += LOOK_EVERY_MS) {
      const outcome = await readTools(orgId, integrationId, { isForced: true, by })
      if (outcome.kind === 'read') return outcome.reading
      if (outcome.kind === 'failed') {
        const { failure } = outcome
        const code = failure.outcome === 'timeout' ? 'TOOL_TIMEOUT' : 'TOOL_FAILED'
        throw new AppError(code, `The tools could not be read: ${failure.reason}`)
      }
      await sleep(LOOK_EVERY_MS)
    }
    throw new AppError('CONFLICT', 'The tools are being read at this moment. Try again.')
  }
}
