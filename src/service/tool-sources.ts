import { makeGate } from '../limits/gate.ts'
import type { makeArgsValidator } from '../tools/args.ts'
import type { BuiltinTool } from '../tools/builtins.ts'
import { makeToolDefinitions } from '../tools/definitions.ts'
import { makeToolImport } from '../tools/import.ts'
import type { makeMcpClient } from '../tools/mcp/client/client.ts'
import { makeReadTools } from '../tools/mcp/client/read-tools.ts'
import { makeRefreshTools } from '../tools/mcp/client/refresh-tools.ts'
import { makePlanInThread } from '../tools/openapi/plan-in-thread.ts'
import type { ToolsDeps } from './tools.ts'

/** A large document takes a second, or a few where the machine is busy. */
const MAX_READING_MS = 20_000
const READING = { what: 'documents are being read', maxWaitMs: 10_000 }

interface SourcesDeps extends ToolsDeps {
  readonly args: ReturnType<typeof makeArgsValidator>
  readonly builtins: readonly BuiltinTool[]
  readonly mcp: ReturnType<typeof makeMcpClient>
}

/** Where an org's tools come from: people, documents, MCP servers. */
export function makeToolSources(deps: SourcesDeps) {
  const { inOrg, builtins, loadHost, urlJudge, audit, args, mcp } = deps
  const shared = { inOrg, builtins, loadHost, urlJudge, audit, maxTools: deps.config.TOOLS_PER_ORG }
  const enterOfOrg = makeGate({ ...READING, max: 1, maxWaiting: 2 })
  const enterOfAll = makeGate({ ...READING, max: 2, maxWaiting: 20 })
  const readTools = makeReadTools({
    ...deps,
    ...shared,
    listTools: mcp.listTools,
    compile: args.compile,
  })
  return {
    definitions: makeToolDefinitions({ ...shared, compile: args.compile }),
    importTools: makeToolImport({
      ...shared,
      planInThread: makePlanInThread({ timeoutMs: MAX_READING_MS }),
      limited: async (orgId, work) => {
        using stack = new DisposableStack()
        stack.defer(await enterOfOrg(orgId))
        stack.defer(await enterOfAll('all'))
        return await work()
      },
    }),
    readTools,
    refreshTools: makeRefreshTools({ inOrg, readTools }),
  }
}
