import { type Config, ConfigError, parseConfig } from '../src/config.ts'
import { AppError } from '../src/core/error.ts'
import { EmbeddedError, openEmbedded, runningEmbedded } from '../src/db/embedded.ts'
import { MigrationError } from '../src/db/migrate.ts'
import { KeyringError } from '../src/security/keyring-error.ts'

/**
 * Runs a command on the configured database: DATABASE_URL, the embedded server that is running, or one that is started for
 * as long as the command takes. What the user can mend is printed as one line.
 */
export async function withDatabase(use: (url: string, config: Config) => Promise<void>) {
  try {
    // A command needs no identity provider; that setting is checked where it is used.
    const config = parseConfig(process.env)
    if (config.DATABASE_URL !== undefined) return await use(config.DATABASE_URL.reveal(), config)
    const running = await runningEmbedded(config.PATCHBAY_DIR)
    if (running !== null) return await use(running, config)
    await using server = await openEmbedded({
      dir: config.PATCHBAY_DIR,
      port: config.EMBEDDED_PG_PORT,
    })
    return await use(server.url, config)
  } catch (error) {
    process.exitCode = 1
    console.error(explain(error))
  }
}

function explain(error: unknown): string {
  if (error instanceof ConfigError) return error.problems.join('\n')
  const isForOperator =
    error instanceof EmbeddedError ||
    error instanceof MigrationError ||
    error instanceof KeyringError
  if (isForOperator) return error.message
  if (error instanceof AppError && error.cause instanceof Error) return error.cause.message
  if (!(error instanceof Error)) return String(error)
  const isFromPostgres = 'severity' in error
  const isRefused = 'code' in error && error.code === 'ECONNREFUSED'
  if (isRefused) return 'The database cannot be reached: is DATABASE_URL right, and is it running?'
  return isFromPostgres ? `Postgres says: ${error.message}` : (error.stack ?? error.message)
}
