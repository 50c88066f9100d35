import { type Config, ConfigError, parseConfig } from './config.ts'
import { EmbeddedError } from './db/embedded.ts'
import { MigrationError } from './db/migrate.ts'
import { TenancyError } from './db/tenants.ts'
import { ListenError } from './http/listen.ts'
import { KeyringError } from './security/keyring-error.ts'
import { openService, type Roles, type Service } from './service/service.ts'
import { type Log, makeLog } from './telemetry/log.ts'
import { scrub } from './telemetry/scrub.ts'

type Environment = Readonly<Record<string, string | undefined>>

async function main(env: Environment, role: string | undefined): Promise<void> {
  const config = parseConfig(env)
  const log = makeLog(config.LOG_LEVEL)
  // What nobody caught leaves the process in a state that nobody knows: its leases run out, and another one goes on. A rejection
  // that nobody awaited comes here as well.
  process.on('uncaughtException', (error, origin) => {
    log.fatal({ err: error, origin }, 'process.broke')
    process.exit(1)
  })
  const roles = rolesOf(role)
  const stopping = new AbortController()
  const stopped = new Promise<string>((resolve) => {
    for (const name of ['SIGTERM', 'SIGINT'] as const) {
      process.once(name, () => {
        stopping.abort()
        resolve(name)
      })
    }
  })
  const opened = await openService(config, roles, log, stopping.signal).catch((error: unknown) => {
    if (stopping.signal.aborted) return null
    throw error
  })
  if (opened === null) return
  await serve(opened, config, roles, log, stopped)
  log.info({}, 'service.stopped')
}

/** Until a signal, or until the worker breaks. */
async function serve(
  opened: Service,
  config: Config,
  roles: Roles,
  log: Log,
  stopped: Promise<string>,
): Promise<void> {
  await using service = opened
  log.info(
    {
      url: service.url,
      ...(service.metricsUrl === null ? {} : { metrics_url: service.metricsUrl }),
      roles: [...(roles.isApi ? ['api'] : []), ...(roles.isWorker ? ['worker'] : [])],
      database:
        config.DATABASE_URL === undefined
          ? `embedded Postgres; its URL is in ${config.PATCHBAY_DIR}/database-url`
          : 'DATABASE_URL',
    },
    'service.started',
  )
  const why = await Promise.race([stopped, service.worker.then(() => stopped)])
  log.info({ signal: why }, 'service.stopping')
}

function rolesOf(role: string | undefined): Roles {
  if (role === undefined) return { isApi: true, isWorker: true }
  if (role === 'api' || role === 'worker') {
    return { isApi: role === 'api', isWorker: role === 'worker' }
  }
  throw new ConfigError([`${role}: not something to run; use api, worker or nothing for both`])
}

/** Whose fault it is decides what is printed: a line for what the operator can mend, the stack for a bug. */
function explain(error: unknown): string {
  if (error instanceof ConfigError) return error.problems.join('\n')
  const isForOperator =
    error instanceof EmbeddedError ||
    error instanceof MigrationError ||
    error instanceof TenancyError ||
    error instanceof KeyringError ||
    error instanceof ListenError
  if (isForOperator) return error.message
  return error instanceof Error ? (error.stack ?? error.message) : String(error)
}

/** Runs until a signal, and says what went wrong in a line where the operator can mend it. */
export async function run(env: Environment, role: string | undefined): Promise<void> {
  try {
    await main(env, role)
  } catch (error) {
    process.stderr.write(`${scrub(explain(error))}\n`)
    process.exitCode = 1
  }
}
