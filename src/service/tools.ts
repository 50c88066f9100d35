import { randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import packageJson from '../../package.json' with { type: 'json' }
import { makeContextTokens } from '../auth/context-token.ts'
import type { Config } from '../config.ts'
import type { AuditEntry } from '../core/actor.ts'
import type { DbTx } from '../db/pool.ts'
import type { Jobs } from '../jobs/jobs.ts'
import { makeGate } from '../limits/gate.ts'
import type { Log } from '../telemetry/log.ts'
import { type ApprovalEvent, makeApprovals } from '../tools/approvals.ts'
import { makeArgsValidator } from '../tools/args.ts'
import type { FoundMessage } from '../tools/builtins.ts'
import { makeBuiltins } from '../tools/builtins.ts'
import { makeCall } from '../tools/call.ts'
import { makeCatalog } from '../tools/catalog.ts'
import { makeCircuit } from '../tools/circuit.ts'
import { makeToolDefinitions, type ToolHost, type UrlJudge } from '../tools/definitions.ts'
import { makeToolImport } from '../tools/import.ts'
import { type InvokeDeps, makeInvoke } from '../tools/invoke.ts'
import { makeMcpClient } from '../tools/mcp/client.ts'
import { type AttentionEvent, makeReadTools } from '../tools/mcp/read-tools.ts'
import { makeRefreshTools } from '../tools/mcp/refresh-tools.ts'
import { makePlanInThread } from '../tools/openapi/plan-in-thread.ts'
import { makeRunHistory } from '../tools/run-history.ts'
import { makeRuns, type RunEvent } from '../tools/runs.ts'
import { makeSendCall } from '../tools/send-call.ts'
import { makeTryTool } from '../tools/try-tool.ts'
import type { Resources } from './resources.ts'

interface ToolsDeps
  extends Pick<
    Resources,
    'inOrg' | 'readInOrg' | 'writeInOrg' | 'egress' | 'newId' | 'pool' | 'keyring'
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

/** A large document takes a second, or a few where the machine is busy. */
const MAX_READING_MS = 20_000
const READING = { what: 'documents are being read', maxWaitMs: 10_000 }

/** The tools feature, wired. */
export function makeTools(deps: ToolsDeps) {
  const { config, inOrg, readInOrg, egress, newId, keyring, loadHost, emit, audit } = deps
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
  const runs = makeRuns({ inOrg, writeInOrg: deps.writeInOrg, emit, audit })
  const approvals = makeApprovals({
    inOrg,
    keyring,
    emit,
    audit,
    findRun: runs.find,
    newId,
    expiresInS: config.APPROVAL_SECONDS,
    carryOut: deps.jobs.carryOut,
  })
  const call = makeCall({
    egress,
    loadHost,
    circuit: makeCircuit(() => performance.now()),
    contextToken: contextTokens.sign,
    callMcp: mcp.callTool,
    sendCall: makeSendCall({
      egress,
      nowMs: Date.now,
      random: Math.random,
      randomBytes,
      // An abort ends the wait; what is aborted is seen by whoever asks the signal.
      sleep: (ms, signal) =>
        sleep(ms, undefined, signal === undefined ? {} : { signal }).catch(() => undefined),
    }),
    userAgent,
  })
  const readTools = makeReadTools({
    ...deps,
    maxTools: config.TOOLS_PER_ORG,
    builtins,
    listTools: mcp.listTools,
    compile: args.compile,
  })
  const invoke = makeInvoke({
    find: catalog.find,
    findById: catalog.findById,
    names: catalog.names,
    validate: args.validate,
    limited: deps.limited,
    call,
    hold: approvals.hold,
    runs,
    newId,
  })
  const nameOf = async (orgId: string, wanted: string) => {
    const found = await catalog.find(orgId, wanted)
    return found === null ? null : found.kind === 'builtin' ? found.tool.name : found.name
  }
  const definitions = makeToolDefinitions({
    inOrg,
    builtins,
    compile: args.compile,
    loadHost,
    urlJudge: deps.urlJudge,
    audit,
    maxTools: config.TOOLS_PER_ORG,
  })
  const enterOfOrg = makeGate({ ...READING, max: 1, maxWaiting: 2 })
  const enterOfAll = makeGate({ ...READING, max: 2, maxWaiting: 20 })
  return {
    builtins,
    validate: args.validate,
    importTools: makeToolImport({
      inOrg,
      builtins,
      loadHost,
      urlJudge: deps.urlJudge,
      audit,
      planInThread: makePlanInThread({ timeoutMs: MAX_READING_MS }),
      limited: async (orgId, work) => {
        using stack = new DisposableStack()
        stack.defer(await enterOfOrg(orgId))
        stack.defer(await enterOfAll('all'))
        return await work()
      },
      maxTools: config.TOOLS_PER_ORG,
    }),
    catalog,
    runHistory: makeRunHistory({ readInOrg, nameOf }),
    invoke,
    readTools,
    refreshTools: makeRefreshTools({ inOrg, readTools }),
    runs,
    approvals,
    contextTokens,
    definitions,
    tryTool: makeTryTool({
      find: definitions.get,
      validate: args.validate,
      limited: deps.limited,
      call,
      runs,
      newId,
    }),
  }
}
