import { randomBytes } from 'node:crypto'
import { link, mkdir, open, readdir, readFile, rename, rm } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { Secret } from '../core/secret.ts'
import { KeyringError } from './keyring-error.ts'

const MASTER_KEY_BYTES = 32

/** The master key that an embedded installation makes for itself, in files that only their owner may read. */
export interface MasterKeyFile {
  /** The key that wraps; then, while a rotation is under way, the one before. Makes the first one. */
  readonly read: () => Promise<Secret[]>
  /** Keeps the key as the previous one and puts a new one in its place; goes on with a rotation that was cut off. */
  readonly beginRotation: () => Promise<void>
  /** Nothing is wrapped by the previous key any more: deletes it. */
  readonly endRotation: () => Promise<void>
}

/**
 *   KEY ── copied ─▶ KEY, KEY.previous (the same) ── a new KEY moved into its place ─▶ KEY (new), KEY.previous ── deleted ─▶ KEY
 *
 * Files are written whole, synced and then moved, so a crash leaves one of these states, and each of them opens everything.
 * One rotation at a time: its caller holds a lock.
 */
export function makeMasterKeyFile(file: string): MasterKeyFile {
  const previousFile = `${file}.previous`

  const readCurrent = async (): Promise<Secret> => {
    const text = await readKey(file)
    if (text !== null) return text
    await mkdir(dirname(file), { recursive: true, mode: 0o700 })
    await writeWhole(file, newKey(), 'new')
    const made = await readKey(file)
    if (made === null) throw new KeyringError(`${file} was made and is gone`)
    return made
  }

  return {
    read: async () => {
      const current = await readCurrent()
      const previous = await readKey(previousFile)
      return previous === null ? [current] : [current, previous]
    },
    beginRotation: async () => {
      const current = await readCurrent()
      const previous = await readKey(previousFile)
      if (previous === null) await writeWhole(previousFile, current, 'new')
      else if (previous.reveal() !== current.reveal()) return
      await writeWhole(file, newKey(), 'replace')
    },
    endRotation: async () => {
      await rm(previousFile, { force: true })
      for (const draft of await draftsOf(file)) await rm(draft, { force: true })
      await syncFolder(dirname(file))
    },
  }
}

function newKey(): Secret {
  return new Secret(randomBytes(MASTER_KEY_BYTES).toString('base64'))
}

async function readKey(file: string): Promise<Secret | null> {
  try {
    const text = (await readFile(file, 'utf8')).trim()
    if (Buffer.from(text, 'base64').length !== MASTER_KEY_BYTES) {
      throw new KeyringError(`${file} does not hold a master key: 32 bytes in base64`)
    }
    return new Secret(text)
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return null
    throw error
  }
}

/** `new`: what is there already stays. */
async function writeWhole(file: string, key: Secret, mode: 'new' | 'replace'): Promise<void> {
  const draft = `${file}.${process.pid}-${randomBytes(4).toString('hex')}.draft`
  const handle = await open(draft, 'wx', 0o600)
  try {
    try {
      await handle.writeFile(`${key.reveal()}\n`)
      await handle.sync()
    } finally {
      await handle.close()
    }
    if (mode === 'replace') await rename(draft, file)
    else await link(draft, file).catch(ignoreExisting)
    await syncFolder(dirname(file))
  } finally {
    await rm(draft, { force: true })
  }
}

/** What a crash left behind: keys too, old and new ones. */
async function draftsOf(file: string): Promise<string[]> {
  const names = await readdir(dirname(file))
  return names
    .filter((name) => name.startsWith(`${basename(file)}.`) && name.endsWith('.draft'))
    .map((name) => join(dirname(file), name))
}

function ignoreExisting(error: unknown): void {
  if (!hasCode(error, 'EEXIST')) throw error
}

/** So that the name survives a power cut too. Not every system lets a folder be synced. */
async function syncFolder(dir: string): Promise<void> {
  const handle = await open(dir, 'r').catch(() => null)
  if (handle === null) return
  try {
    await handle.sync().catch(() => undefined)
  } finally {
    await handle.close()
  }
}

function hasCode(error: unknown, code: string): boolean {
  return error instanceof Error && 'code' in error && error.code === code
}
