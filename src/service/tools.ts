import packageJson from '../../package.json' with { type: 'json' }
import type { AuditEntry } from '../core/actor.ts'
import type { DbTx } from '../db/pool.ts'
import { makeArgsValidator } from '../tools/args.ts'
import type { FoundMessage } from '../tools/builtins.ts'
import { makeBuiltins } from '../tools/builtins.ts'
import { makeCall } from '../tools/call.ts'
import { makeCatalog } from '../tools/catalog.ts'
import { makeToolDefinitions, type ToolHost, type UrlJudge } from '../tools/definitions.ts'
import { type InvokeDeps, makeInvoke } from '../tools/invoke.ts'
import { makeRuns, type RunEvent } from '../tools/runs.ts'
import type { Resources } from './resources.ts'

interface ToolsDeps extends Pick<Resources, 'inOrg' | 'readInOrg' | 'egress' | 'newId'> {
  readonly loadHost: (orgId: string, integrationId: string) => Promise<ToolHost | null>
  readonly limited: InvokeDeps['limited']
  readonly urlJudge: UrlJudge
  readonly searchMessages: (
    orgId: string,
    conversationId: string | null,
    query: string,
    limit: number,
  ) => Promise<FoundMessage[]>
  readonly emit: (tx: DbTx, event: RunEvent) => Promise<string>
  readonly audit: (entry: AuditEntry, tx: DbTx) => Promise<void>
  readonly maxTools: number
}

/** The tools feature, wired. */
export function makeTools({
  inOrg,
  readInOrg,
  egress,
  newId,
  loadHost,
  urlJudge,
  ...deps
}: ToolsDeps) {
  const args = makeArgsValidator()
  const builtins = makeBuiltins({
    now: () => new Date(),
    searchMessages: deps.searchMessages,
  })
  const catalog = makeCatalog({ inOrg, readInOrg, builtins })
  const invoke = makeInvoke({
    find: catalog.find,
    names: catalog.names,
    validate: args.validate,
    limited: deps.limited,
    call: makeCall({
      egress,
      loadHost,
      userAgent: `Patchbay/${packageJson.version}`,
    }),
    newId,
  })
  return {
    catalog,
    invoke,
    runs: makeRuns({ inOrg, invoke, emit: deps.emit, audit: deps.audit }),
    definitions: makeToolDefinitions({
      inOrg,
      builtins,
      compile: args.compile,
      loadHost,
      urlJudge,
      audit: deps.audit,
      maxTools: deps.maxTools,
    }),
  }
}
