import { ConfigError, parseConfig } from './config.ts'
import { EmbeddedError } from './db/embedded.ts'
import { MigrationError } from './db/migrate.ts'
import { ListenError } from './http/listen.ts'
import { KeyringError } from './security/keyring.ts'
import { openService, type Roles } from './service/service.ts'
import { makeLog } from './telemetry/log.ts'

/** `node src/main.ts` runs the API and a worker; `api` or `worker` runs one of them. */
async function main(): Promise<void> {
  const config = parseConfig(process.env)
  const log = makeLog(config.LOG_LEVEL)
  const roles = rolesOf(process.argv[2])
  const stopping = new AbortController()
  const stopped = new Promise<string>((resolve) => {
    for (const name of ['SIGTERM', 'SIGINT'] as const) {
      process.once(name, () => {
        stopping.abort()
        resolve(name)
      })
    }
  })
  const service = await openService(config, roles, log, stopping.signal).catch((error: unknown) => {
    if (stopping.signal.aborted) return null
    throw error
  })
  if (service === null) return
  log.info(
    {
      url: service.url,
      roles: Object.keys(roles).filter((role) => roles[role as keyof Roles]),
      database:
        config.DATABASE_URL === undefined
          ? `embedded Postgres; its URL is in ${config.PATCHBAY_DIR}/database-url`
          : 'DATABASE_URL',
    },
    'service.started',
  )
  const why = await Promise.race([stopped, service.worker.then(() => stopped)])
  log.info({ signal: why }, 'service.stopping')
  await service[Symbol.asyncDispose]()
  log.info({}, 'service.stopped')
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
    error instanceof KeyringError ||
    error instanceof ListenError
  if (isForOperator) return error.message
  return error instanceof Error ? (error.stack ?? error.message) : String(error)
}

try {
  await main()
} catch (error) {
  process.stderr.write(`${explain(error)}\n`)
  process.exitCode = 1
}
