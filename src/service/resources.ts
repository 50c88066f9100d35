import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Pool } from 'pg'
import packageJson from '../../package.json' with { type: 'json' }
import { attemptTimeoutMs, type Config } from '../config.ts'
import { AppError } from '../core/error.ts'
import { makeNewId } from '../core/id.ts'
import { Secret } from '../core/secret.ts'
import { makeDataKeyStore } from '../db/data-keys.ts'
import { openEmbedded, readOrMake } from '../db/embedded.ts'
import { MigrationError, migrate } from '../db/migrate.ts'
import { type Db, makeDb, openPool } from '../db/pool.ts'
import { findApiRole, openTenants, type Tenants } from '../db/tenants.ts'
import { parseAllowList } from '../egress/allow-list.ts'
import { type Egress, openEgress } from '../egress/egress.ts'
import { type Jobs, openJobs } from '../jobs/jobs.ts'
import { makeRegistry, type Registry } from '../providers/registry.ts'
import { type Keyring, openKeyring } from '../security/keyring.ts'
import type { Log } from '../telemetry/log.ts'
import type { Meter } from '../telemetry/meter.ts'
import { makeLookAtMcp } from '../tools/mcp/client/look-at.ts'
import { makeKeyWrapper } from './master-key.ts'

const MAX_RETRY_MS = 10_000

const COUNT_PATIENCE_MS = 1000

/** Of one process, for the requests of orgs. */
export const API_CONNECTIONS = 10

/** Everything a process opens and must close. */
export interface Resources extends Pick<Tenants, 'inOrg' | 'readInOrg' | 'writeInOrg'> {
  readonly databaseUrl: string
  readonly pool: Pool
  /** The installation's own: it sees every org. What serves one org's request takes the three for that. */
  readonly db: Db
  /** For counts of the rate limits alone: while they hang, everything else goes on. */
  readonly countPool: Pool
  readonly keyring: Keyring
  readonly egress: Egress
  readonly jobs: Jobs
  readonly registry: Registry
  readonly newId: () => string
  readonly meter: Meter
}

/** Who opens them. */
interface Around {
  readonly log: Log
  readonly meter: Meter
  /** Called again for each reason. */
  readonly onWaiting: (reason: string) => void
  /** The database is there and up to date; other things may still be waited for. */
  readonly onDatabase: (databaseUrl: string) => void
}

/**
 * Opens the database (waiting for it as long as it takes), brings it up to date, and opens what stands on it. Whatever is
 * opened goes onto the stack.
 */
export async function openResources(
  config: Config,
  { log, meter, onWaiting, onDatabase }: Around,
  stack: AsyncDisposableStack,
  signal: AbortSignal,
): Promise<Resources> {
  const newId = makeNewId({ nowMs: Date.now, randomBytes })
  const databaseUrl = await openDatabase(config, stack)
  const retry = { log, signal, onWaiting }
  const applied = await retrying(() => migrate(databaseUrl), retry)
  if (applied.length > 0) log.info({ applied }, 'database.migrated')
  onDatabase(databaseUrl)
  const pool = openPool({
    url: databaseUrl,
    max: 10,
    applicationName: 'patchbay',
    onError: (error) => log.warn({ err: error }, 'database.connection_lost'),
  })
  stack.defer(() => pool.end())
  const countPool = openPool({
    url: databaseUrl,
    max: 2,
    applicationName: 'patchbay limits',
    settings: [`statement_timeout=${COUNT_PATIENCE_MS}`],
    onError: (error) => log.warn({ err: error }, 'database.connection_lost'),
  })
  stack.defer(() => countPool.end())
  const db = makeDb(pool)
  const tenants = stack.use(
    openTenants({
      url: databaseUrl,
      role: await retrying(() => findApiRole(pool), retry),
      max: API_CONNECTIONS,
      applicationName: 'patchbay api',
      onError: (error) => log.warn({ err: error }, 'database.connection_lost'),
    }),
  )
  const egress = stack.use(
    openEgress({
      isHttpAllowed: config.EGRESS_HTTP === 'allow',
      allow: parseAllowList(config.EGRESS_ALLOW),
      allowInternal: parseAllowList(config.EGRESS_ALLOW_INTERNAL),
      deny: parseAllowList(config.EGRESS_DENY),
      internalOrgs: config.INTERNAL_HTTP_ORGS,
      proxy: config.EGRESS_PROXY,
      // Both within the deadline of a try, also of a short one: who cannot be reached has failed, and was not interrupted.
      resolveTimeoutMs: Math.min(3000, attemptTimeoutMs(config) * 0.3),
      connectTimeoutMs: Math.min(5000, attemptTimeoutMs(config) * 0.5),
    }),
  )
  const wrapper = makeKeyWrapper(config, {
    fetch: egress.operatorFetch,
    onChange: (reason) => {
      if (reason === null) log.info({}, 'master_key.available')
      else log.warn({ reason }, 'master_key.unavailable')
    },
  })
  const store = makeDataKeyStore(pool)
  const keyring = await retrying(() => openKeyring({ wrapper, store, newId }), retry)
  const jobs = stack.use(await retrying(() => openJobs({ url: databaseUrl, log }), retry))
  const { inOrg, readInOrg, writeInOrg } = tenants
  const registry = makeRegistry({
    slackApiUrl: config.SLACK_API_URL,
    slackWebhookHosts: config.SLACK_WEBHOOK_HOSTS,
    teamsWorkflowHosts: config.TEAMS_WORKFLOW_HOSTS,
    lookAtMcp: makeLookAtMcp(packageJson.version),
  })
  const opened = {
    databaseUrl,
    pool,
    db,
    inOrg,
    readInOrg,
    writeInOrg,
    countPool,
    keyring,
    egress,
  }
  return { ...opened, jobs, registry, newId, meter }
}

async function openDatabase(config: Config, stack: AsyncDisposableStack): Promise<string> {
  if (config.DATABASE_URL !== undefined) return config.DATABASE_URL.reveal()
  const embedded = await openEmbedded({
    dir: config.PATCHBAY_DIR,
    port: config.EMBEDDED_PG_PORT,
  })
  return stack.use(embedded).url
}

/** A secret that the embedded mode makes for itself and keeps. */
export async function keptSecret(
  config: Config,
  name: string,
  bytes: number,
  encoding: 'base64' | 'hex',
): Promise<Secret> {
  return new Secret(await readOrMake(join(config.PATCHBAY_DIR, name), bytes, encoding))
}

/** The secret that HS256 tokens are signed with, where no identity provider is configured. */
export async function jwtSecret(config: Config): Promise<Secret | undefined> {
  if (config.AUTH_JWKS_URL !== undefined) return undefined
  return config.AUTH_JWT_SECRET ?? (await keptSecret(config, 'jwt-secret', 32, 'hex'))
}

interface Retry {
  readonly log: Log
  readonly signal: AbortSignal
  readonly onWaiting: (reason: string) => void
}

/** Tries again while the database, or who keeps the master key, cannot be reached; what is wrong for good is thrown. */
async function retrying<Result>(work: () => Promise<Result>, retry: Retry): Promise<Result> {
  for (let waitMs = 500; ; waitMs = Math.min(waitMs * 2, MAX_RETRY_MS)) {
    try {
      return await work()
    } catch (error) {
      if (error instanceof MigrationError || !isPassing(error)) throw error
      const isKeys = error instanceof AppError
      const reason = isKeys ? reasonOf(error) : `the database cannot be reached (${codeOf(error)})`
      retry.onWaiting(isKeys ? error.message : reason)
      const what = isKeys ? 'master_key.waiting' : 'database.waiting'
      retry.log.warn({ reason, retry_ms: waitMs }, what)
      await sleep(waitMs, undefined, { signal: retry.signal })
    }
  }
}

const PASSING =
  /^(ECONN|EPIPE|ETIMEDOUT|ENOTFOUND|EAI_|EHOSTUNREACH|ENETUNREACH|08|57P0|53300|3D000)/

function isPassing(error: unknown): boolean {
  return (
    (error instanceof AppError && error.code === 'UNAVAILABLE') ||
    PASSING.test(codeOf(error)) ||
    (error instanceof Error && /timeout|terminated/i.test(error.message))
  )
}

/** For the operator; the error's own message is for those who call the API. */
function reasonOf(error: AppError): string {
  return error.cause instanceof Error ? error.cause.message : error.message
}

function codeOf(error: unknown): string {
  if (error instanceof AggregateError) return codeOf(error.errors[0])
  if (error instanceof Error && 'code' in error && typeof error.code === 'string') return error.code
  if (error instanceof Error && error.cause !== undefined) return codeOf(error.cause)
  return error instanceof Error ? error.message : String(error)
}
