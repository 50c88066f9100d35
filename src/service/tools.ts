import packageJson from '../../package.json' with { type: 'json' }
import { makeContextTokens } from '../auth/context-token.ts'
import type { Config } from '../config.ts'
import type { AuditEntry } from '../core/actor.ts'
import type { DbTx } from '../db/pool.ts'
import type { Jobs } from '../jobs/jobs.ts'
import type { Log } from '../telemetry/log.ts'
import type { ApprovalEvent } from '../tools/approvals.ts'
import { makeArgsValidator } from '../tools/args.ts'
import type { FoundMessage } from '../tools/builtins.ts'
import { makeBuiltins } from '../tools/builtins.ts'
import { makeCatalog } from '../tools/catalog.ts'
import type { ToolHost, UrlJudge } from '../tools/definitions.ts'
import type { InvokeDeps } from '../tools/invoke.ts'
import { makeMcpClient } from '../tools/mcp/client/client.ts'
import type { AttentionEvent } from '../tools/mcp/client/read-tools.ts'
import { makeRunHistory } from '../tools/run-history.ts'
import type { RunEvent } from '../tools/runs.ts'
import { makeTryTool } from '../tools/try-tool.ts'
import type { Resources } from './resources.ts'
import { makeToolCalls } from './tool-calls.ts'
import { makeToolSources } from './tool-sources.ts'

export interface ToolsDeps
  extends Pick<
    Resources,
    'inOrg' | 'readInOrg' | 'writeInOrg' | 'egress' | 'newId' | 'pool' | 'keyring' | 'meter'
  > {
  readonly jobs: Pick<Jobs, 'carryOut'>
  readonly config: Pick<Config, 'PUBLIC_URL' | 'APPROVAL_SECONDS' | 'TOOLS_PER_ORG'>
  readonly loadHost: (orgId: string, integrationId: string) => Promise<ToolHost | null>
  readonly limited: InvokeDeps['limited']
  readonly urlJudge: UrlJudge
  readonly searchMessages: (
    orgId: string,
    conversationId: string | null,
    query: string,
    limit: number,
  ) => Promise<FoundMessage[]>
  readonly emit: (tx: DbTx, event: RunEvent | ApprovalEvent | AttentionEvent) => Promise<string>
  readonly audit: (entry: AuditEntry, tx: DbTx) => Promise<void>
  /** Called for an integration whose tools are to be read from its server again. */
  readonly whenStale: (orgId: string, integrationId: string) => void
  readonly log: Log
}

/** The tools feature, wired. */
export function makeTools(deps: ToolsDeps) {
  const { config, inOrg, readInOrg, egress, keyring } = deps
  const args = makeArgsValidator()
  const builtins = makeBuiltins({
    now: () => new Date(),
    searchMessages: deps.searchMessages,
  })
  const { version } = packageJson
  const userAgent = `Patchbay/${version}`
  const mcp = makeMcpClient({ egress, userAgent, version })
  const catalog = makeCatalog({ inOrg, readInOrg, builtins, whenStale: deps.whenStale })
  const contextTokens = makeContextTokens({
    db: deps.pool,
    keyring,
    issuer: config.PUBLIC_URL ?? 'patchbay',
    nowMs: Date.now,
  })
  const calls = makeToolCalls({ ...deps, args, catalog, contextTokens, mcp, userAgent })
  const nameOf = async (orgId: string, wanted: string) => {
    const found = await catalog.find(orgId, wanted)
    return found === null ? null : found.kind === 'builtin' ? found.tool.name : found.name
  }
  const sources = makeToolSources({ ...deps, args, builtins, mcp })
  return {
    builtins,
    validate: args.validate,
    ...sources,
    catalog,
    runHistory: makeRunHistory({ readInOrg, nameOf }),
    invoke: calls.invoke,
    runs: calls.runs,
    approvals: calls.approvals,
    contextTokens,
    tryTool: makeTryTool({
      find: sources.definitions.get,
      validate: args.validate,
      limited: deps.limited,
      call: calls.call,
      runs: calls.runs,
      newId: deps.newId,
    }),
  }
}
