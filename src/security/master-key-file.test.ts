import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { makeMasterKeyFile } from './master-key-file.ts'

let dir: string
let file: string
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'patchbay-key-'))
  file = join(dir, 'sub', 'master-key')
})
afterEach(() => rm(dir, { recursive: true, force: true }))

const filesOf = async () => (await readdir(join(dir, 'sub'))).toSorted()
const modeOf = async (name: string) =>
  ((await stat(join(dir, 'sub', name))).mode & 0o777).toString(8)
const textsOf = async (keys: ReturnType<typeof makeMasterKeyFile>) =>
  (await keys.read()).map((key) => key.reveal())

test('the first key is made once, for its owner alone', async () => {
  const made = await Promise.all(Array.from({ length: 8 }, () => textsOf(makeMasterKeyFile(file))))
  expect(new Set(made.flat()).size).toBe(1)
  expect(await filesOf()).toEqual(['master-key'])
  expect(await modeOf('master-key')).toBe('600')
  expect(Buffer.from(made[0]?.[0] ?? '', 'base64')).toHaveLength(32)
})

test('a rotation keeps the old key until its end', async () => {
  const keys = makeMasterKeyFile(file)
  const [old] = await textsOf(keys)
  await keys.beginRotation()
  const [current, previous] = await textsOf(keys)
  expect(previous).toBe(old)
  expect(current).not.toBe(old)
  expect(await modeOf('master-key')).toBe('600')
  expect(await modeOf('master-key.previous')).toBe('600')
  await keys.endRotation()
  expect(await textsOf(keys)).toEqual([current])
  expect(await filesOf()).toEqual(['master-key'])
})

test('a rotation that was cut off after any step goes on, with the keys it had', async () => {
  const keys = makeMasterKeyFile(file)
  const [old] = await textsOf(keys)
  // Cut off after the old key was copied: both files hold it.
  await writeFile(`${file}.previous`, `${old}\n`)
  expect(await textsOf(keys)).toEqual([old, old])
  await keys.beginRotation()
  const swapped = await textsOf(keys)
  expect(swapped[1]).toBe(old)
  // Cut off after the new key was in its place.
  await keys.beginRotation()
  expect(await textsOf(keys)).toEqual(swapped)
  // Cut off before the end: drafts hold keys too, and go with it.
  await writeFile(`${file}.4711-aa.draft`, 'half a k')
  await keys.endRotation()
  await keys.endRotation()
  expect(await filesOf()).toEqual(['master-key'])
  expect(await textsOf(keys)).toEqual([swapped[0]])
})

test.each(['', 'c2hvcnQ=', 'not a key at all'])(
  'a file that holds %j is refused by name',
  async (text) => {
    const keys = makeMasterKeyFile(file)
    await keys.read()
    await writeFile(file, text)
    const error = await keys.read().catch((cause: unknown) => cause)
    expect(String(error)).toBe(
      `KeyringError: ${file} does not hold a master key: 32 bytes in base64`,
    )
    expect(await readFile(file, 'utf8')).toBe(text)
  },
)
