import { randomBytes } from 'node:crypto'
import { Agent } from 'undici'
import { parseConfig } from '../../src/config.ts'
import { makeNewId } from '../../src/core/id.ts'
import { makeDb, openPool } from '../../src/db/pool.ts'
import type { Egress } from '../../src/egress/egress.ts'
import { exchange } from '../../src/egress/exchange.ts'
import { openJobs } from '../../src/jobs/jobs.ts'
import { genericWebhook } from '../../src/providers/generic-webhook/generic-webhook.ts'
import { toRegistry } from '../../src/providers/registry.ts'
import { makeApprovalWork } from '../../src/service/approval-work.ts'
import { makeFeatures } from '../../src/service/features.ts'
import { makeInbound } from '../../src/service/inbound.ts'
import { runWorker } from '../../src/service/worker.ts'
import { makeLog } from '../../src/telemetry/log.ts'
import { NO_METER } from '../../src/telemetry/meter.ts'
import { plainKeyring } from './plain-keyring.ts'

/**
 * The product's worker with its walls taken down, to measure what they cost: no judgement of URLs and addresses, nothing
 * encrypted. Its database has row-level security switched off. For the bench alone.
 */
const config = parseConfig(process.env)
const log = makeLog(config.LOG_LEVEL)
const stopping = new AbortController()
process.once('SIGTERM', () => stopping.abort())

await using stack = new AsyncDisposableStack()
const databaseUrl = config.DATABASE_URL?.reveal() ?? ''
const pool = openPool({
  url: databaseUrl,
  max: 10,
  applicationName: 'patchbay',
  onError: (error) => log.warn({ err: error }, 'database.connection_lost'),
})
stack.defer(() => pool.end())
const jobs = stack.use(await openJobs({ url: databaseUrl, log }))
const agent = new Agent({
  connections: 128,
  pipelining: 1,
  headersTimeout: 0,
  bodyTimeout: 0,
  allowH2: false,
})
stack.defer(() => agent.destroy())

const egress: Pick<Egress, 'judge' | 'send'> = {
  judge: (href) => {
    const url = new URL(href)
    const target = {
      href,
      origin: url.origin,
      path: url.pathname + url.search,
      host: url.hostname,
      port: Number(url.port),
    }
    return { isAllowed: true, target }
  },
  send: (target, _, request) =>
    exchange(agent, target, request, (error) => ({ kind: 'failed', reason: error.message })),
}

const noOrg = () => Promise.reject(new Error('a worker serves no org alone'))
const resources = {
  databaseUrl,
  pool,
  db: makeDb(pool),
  inOrg: noOrg,
  readInOrg: noOrg,
  writeInOrg: noOrg,
  countPool: pool,
  keyring: plainKeyring,
  // A worker judges and sends, and nothing else.
  egress: egress as Egress,
  jobs,
  registry: toRegistry([genericWebhook]),
  newId: makeNewId({ nowMs: Date.now, randomBytes }),
  meter: NO_METER,
}
const features = makeFeatures(config, resources, log)
const inbound = makeInbound(resources, features, log, stopping.signal)
const approvalWork = makeApprovalWork(resources, features, inbound, log, stopping.signal)
await runWorker(config, { resources, features, inbound, approvalWork }, log, stack, stopping.signal)
