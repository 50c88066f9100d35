import { execFile } from 'node:child_process'
import { chown, copyFile, mkdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'

const exec = promisify(execFile)

/** Runs Postgres' programs as somebody who is not root, because Postgres refuses root. */
export interface Launcher {
  run(program: string, args: readonly string[]): Promise<void>
  /** Makes a directory that the server may own. */
  prepare(dir: string): Promise<void>
  prepareFile(file: string): Promise<void>
  /** Hands `use` a copy of a private file that the server's user can read. */
  withReadable(file: string, use: (file: string) => Promise<void>): Promise<void>
}

/**
 * An ordinary user runs the server itself. Root gets one of two ways: a user namespace in which it is not root (nothing on
 * the system changes, and a project in a private directory works), else the system user `postgres`, made if it is missing.
 */
export async function makeLauncher(): Promise<Launcher> {
  if (process.getuid?.() !== 0) return sameUser([])
  const namespace = ['unshare', '--user', '--map-user=1000', '--map-group=1000', '--']
  try {
    await exec('unshare', [...namespace.slice(1), 'true'])
    return sameUser(namespace)
  } catch {
    // No user namespaces here (a container, say): the system user it is.
    return otherUser(await systemUser())
  }
}

function sameUser(prefix: readonly string[]): Launcher {
  return {
    run: (program, args) => launch([...prefix, program, ...args], {}),
    prepare: async (dir) => void (await mkdir(dir, { recursive: true, mode: 0o700 })),
    prepareFile: async () => undefined,
    withReadable: (file, use) => use(file),
  }
}

interface UserIds {
  readonly uid: number
  readonly gid: number
}

function otherUser(ids: UserIds): Launcher {
  return {
    run: (program, args) => launch([program, ...args], ids),
    prepare: async (dir) => {
      await mkdir(dir, { recursive: true, mode: 0o700 })
      await chown(dir, ids.uid, ids.gid)
    },
    prepareFile: async (file) => {
      await writeFile(file, '', { flag: 'a', mode: 0o600 })
      await chown(file, ids.uid, ids.gid)
    },
    withReadable: async (file, use) => {
      const copy = join(tmpdir(), `patchbay-${process.pid}-${Date.now()}`)
      await copyFile(file, copy)
      await chown(copy, ids.uid, ids.gid)
      try {
        await use(copy)
      } finally {
        await rm(copy, { force: true })
      }
    },
  }
}

async function systemUser(): Promise<UserIds> {
  const idOf = async (flag: string) => Number((await exec('id', [flag, 'postgres'])).stdout)
  try {
    return { uid: await idOf('-u'), gid: await idOf('-g') }
  } catch {
    await exec('useradd', ['--system', '--user-group', 'postgres'])
    return { uid: await idOf('-u'), gid: await idOf('-g') }
  }
}

/**
 * Waits for the program's end, not for its output's: the server that `pg_ctl start` leaves behind inherits the pipes.
 */
function launch(command: readonly string[], ids: Partial<UserIds>): Promise<void> {
  const [program = '', ...args] = command
  return new Promise((done, fail) => {
    const child = execFile(program, args, { ...ids, cwd: '/', encoding: 'utf8' })
    let output = ''
    child.stdout?.on('data', (chunk: string) => (output += chunk))
    child.stderr?.on('data', (chunk: string) => (output += chunk))
    child.once('error', fail)
    child.once('exit', (code) => {
      child.stdout?.destroy()
      child.stderr?.destroy()
      if (code === 0) done()
      else fail(new Error(`${program} ended with ${code}: ${output.trim()}`))
    })
  })
}
