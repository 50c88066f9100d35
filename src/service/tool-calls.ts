import { randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import type { makeContextTokens } from '../auth/context-token.ts'
import { makeApprovals } from '../tools/approvals.ts'
import type { makeArgsValidator } from '../tools/args.ts'
import { makeCall } from '../tools/call.ts'
import type { makeCatalog } from '../tools/catalog.ts'
import { makeCircuit } from '../tools/circuit.ts'
import { makeInvoke } from '../tools/invoke.ts'
import type { makeMcpClient } from '../tools/mcp/client/client.ts'
import { makeRuns } from '../tools/runs.ts'
import { makeSendCall } from '../tools/send-call.ts'
import type { ToolsDeps } from './tools.ts'

interface CallsDeps extends ToolsDeps {
  readonly args: ReturnType<typeof makeArgsValidator>
  readonly catalog: ReturnType<typeof makeCatalog>
  readonly contextTokens: ReturnType<typeof makeContextTokens>
  readonly mcp: ReturnType<typeof makeMcpClient>
  readonly userAgent: string
}

/** How tools are called: with a run that is written down, and where they ask, with a person's approval. */
export function makeToolCalls(deps: CallsDeps) {
  const { config, inOrg, egress, newId, keyring, loadHost, emit, audit } = deps
  const { args, catalog, contextTokens, mcp, userAgent, meter } = deps
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
  const invoke = makeInvoke({
    find: catalog.find,
    findById: catalog.findById,
    names: catalog.names,
    validate: args.validate,
    limited: deps.limited,
    call,
    hold: approvals.hold,
    runs: {
      begin: runs.begin,
      end: async (run, by) => {
        await runs.end(run, by)
        meter.toolRan(run.outcome, run.durationMs)
      },
    },
    newId,
  })
  return { call, invoke, runs, approvals }
}
