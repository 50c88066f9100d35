import packageJson from '../../package.json' with { type: 'json' }
import type { Config } from '../config.ts'
import { cutMiddle } from '../core/cut.ts'
import { toAppError } from '../http/problem.ts'
import type { McpAccess } from '../http/routes/mcp.ts'
import type { Log } from '../telemetry/log.ts'
import { makeMcpServer } from '../tools/mcp/server/serve.ts'
import type { Works } from './worker.ts'

/** Of one result, for the context of a model. */
const MAX_RESULT_LENGTH = 60_000

/** The tools of orgs for MCP clients, wired. */
export function makeMcp({ resources, features, approvalWork }: Works, log: Log) {
  const { keyring, jobs } = resources
  const { catalog, invoke, validate } = features
  const sealedFor = ({ orgId, principalId }: { orgId: string; principalId: string }) => ({
    orgId,
    table: 'mcp',
    column: 'request_state',
    rowId: principalId,
  })
  return makeMcpServer({
    version: packageJson.version,
    list: catalog.list,
    find: catalog.find,
    validate,
    shorten: (text) => cutMiddle(text, MAX_RESULT_LENGTH),
    ask: async (invocation, by, may) => {
      try {
        return await invoke.ask({ ...invocation, by }, may)
      } finally {
        jobs.wake()
      }
    },
    decide: async (orgId, approvalId, decision, by) => {
      try {
        await approvalWork.decideAndRun(orgId, approvalId, decision, by)
      } finally {
        jobs.wake()
      }
    },
    seal: (holder, text) => keyring.seal(sealedFor(holder), text),
    open: (holder, sealed) => keyring.open(sealedFor(holder), sealed),
    nowMs: Date.now,
    toAppError,
    report: (error, requestId) => log.error({ err: error, request_id: requestId }, 'request.broke'),
  })
}

/** Who may come to it from where, and where tokens for it are to be had. */
export function mcpAccessOf(config: Config): McpAccess {
  const { AUTH_ISSUER: issuer, PUBLIC_URL: publicUrl = null, CORS_ORIGINS: corsOrigins } = config
  // An issuer may be any text; clients can only go to one that is a URL.
  const isUrl = issuer !== undefined && /^https?:\/\//.test(issuer) && URL.canParse(issuer)
  return { publicUrl, corsOrigins, issuer: isUrl ? issuer : null }
}
