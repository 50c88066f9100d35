import { randomBytes, randomUUID } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { openTestDatabase, type TestDatabase } from '../../test/fixtures/database.ts'
import { openVault } from '../../test/fixtures/vault.ts'
import { parseConfig } from '../config.ts'
import { makeDataKeyStore } from '../db/data-keys.ts'
import type { KeyWrapper } from '../security/key-wrapper.ts'
import { openKeyring } from '../security/keyring.ts'
import { embeddedKeyFile, makeKeyWrapper } from './master-key.ts'
import { rotateDataKeys, rotateMasterKey } from './rotate-keys.ts'

let stack: AsyncDisposableStack
let database: TestDatabase
beforeEach(async () => {
  stack = new AsyncDisposableStack()
  database = stack.use(await openTestDatabase())
})
afterEach(() => stack.disposeAsync())

const QUIET = { say: () => undefined, progress: () => undefined }
const signal = new AbortController().signal
const newKey = () => randomBytes(32).toString('base64')
const wrapperOf = (settings: Record<string, string>) =>
  makeKeyWrapper(
    parseConfig({ DATABASE_URL: database.url, AUTH_JWT_SECRET: 's'.repeat(32), ...settings }),
    { fetch, onChange: () => undefined },
  )
const openRing = (wrapper: KeyWrapper) =>
  openKeyring({ wrapper, store: makeDataKeyStore(database.pool), newId: randomUUID })
const placeOf = (orgId: string) => ({ orgId, table: 't', column: 'c', rowId: 'r' })

/** An org with a secret for each number. */
async function sealMany(wrapper: KeyWrapper, count: number) {
  const keyring = await openRing(wrapper)
  const orgs = Array.from({ length: count }, (_, i) => `org-${i}`)
  return Promise.all(
    orgs.map(async (orgId) => ({
      place: placeOf(orgId),
      sealed: await keyring.seal(placeOf(orgId), `secret of ${orgId}`),
    })),
  )
}

async function expectOpens(wrapper: KeyWrapper, values: Awaited<ReturnType<typeof sealMany>>) {
  const keyring = await openRing(wrapper)
  for (const { place, sealed } of values) {
    expect(await keyring.open(place, sealed)).toBe(`secret of ${place.orgId}`)
  }
}

function rotate(wrapper: KeyWrapper, stop = signal) {
  return rotateMasterKey({ pool: database.pool, wrapper, ...QUIET, signal: stop }, null)
}

async function masterKeyIds(): Promise<string[]> {
  const { rows } = await database.pool.query(
    'select distinct master_key_id as id from patchbay.data_keys order by 1',
  )
  return rows.map(({ id }) => id)
}

describe('a rotation of the master key', () => {
  test('leaves nothing under the old key, which is refused from then on', async () => {
    const [oldKey, freshKey] = [newKey(), newKey()]
    const before = wrapperOf({ MASTER_KEY: oldKey })
    const values = await sealMany(before, 50)
    const both = wrapperOf({ MASTER_KEY: freshKey, MASTER_KEY_PREVIOUS: oldKey })
    const [oldId, freshId] = [await before.currentId(), await both.currentId()]
    expect(await rotate(both)).toEqual({
      currentId: freshId,
      rewrapped: 51,
      total: 51,
      outdated: 0,
      broken: [],
    })
    expect(await masterKeyIds()).toEqual([freshId])
    await expectOpens(wrapperOf({ MASTER_KEY: freshKey }), values)
    const refused = openRing(before)
    await expect(refused).rejects.toThrow(
      `MASTER_KEY is not the key this database was sealed with: its id is ${oldId}, but 51 of 51 data keys are wrapped by ${freshId}.`,
    )
    expect(await rotate(both)).toMatchObject({ rewrapped: 0, outdated: 0 })
  })

  test('is refused without the old key, and changes nothing', async () => {
    const before = wrapperOf({ MASTER_KEY: newKey() })
    const values = await sealMany(before, 3)
    await expect(rotate(wrapperOf({ MASTER_KEY: newKey() }))).rejects.toThrow('MASTER_KEY_PREVIOUS')
    await expectOpens(before, values)
  })

  test('that was cut off goes on where it was, and everything opens in between', async () => {
    const [oldKey, freshKey] = [newKey(), newKey()]
    const values = await sealMany(wrapperOf({ MASTER_KEY: oldKey }), 100)
    const both = wrapperOf({ MASTER_KEY: freshKey, MASTER_KEY_PREVIOUS: oldKey })
    const stop = new AbortController()
    const dying: KeyWrapper = {
      ...both,
      wrap: async (...args) => {
        if (args[1].orgId === 'org-42') stop.abort(new Error('killed'))
        return both.wrap(...args)
      },
    }
    await expect(rotate(dying, stop.signal)).rejects.toThrow('killed')
    expect(await masterKeyIds()).toHaveLength(2)
    await expectOpens(both, values)
    const { rewrapped, total, outdated } = await rotate(both)
    expect(rewrapped).toBeGreaterThan(0)
    expect(rewrapped).toBeLessThan(total)
    expect(outdated).toBe(0)
    await expectOpens(wrapperOf({ MASTER_KEY: freshKey }), values)
  })

  test("that has ended leaves nothing for the old key to wrap, whatever the order of a process's keys", async () => {
    const [oldKey, freshKey] = [newKey(), newKey()]
    const values = await sealMany(wrapperOf({ MASTER_KEY: oldKey }), 3)
    const both = wrapperOf({ MASTER_KEY: freshKey, MASTER_KEY_PREVIOUS: oldKey })
    const turned = wrapperOf({ MASTER_KEY: oldKey, MASTER_KEY_PREVIOUS: freshKey })
    await rotate(both)
    const place = placeOf('late')
    const sealed = await (await openRing(turned)).seal(place, 'secret of late')
    await expectOpens(wrapperOf({ MASTER_KEY: freshKey }), [...values, { place, sealed }])
    await rotateDataKeys({ ...QUIET, pool: database.pool, wrapper: turned, signal }, 0)
    expect(await masterKeyIds()).toEqual([await both.currentId()])
  })

  test('that has not begun keeps what is new open to processes that have the old key alone', async () => {
    const [oldKey, freshKey] = [newKey(), newKey()]
    const before = wrapperOf({ MASTER_KEY: oldKey })
    const running = await openRing(before)
    const both = wrapperOf({ MASTER_KEY: freshKey, MASTER_KEY_PREVIOUS: oldKey })
    const values = await sealMany(both, 3)
    for (const { place, sealed } of values) {
      expect(await running.open(place, sealed)).toBe(`secret of ${place.orgId}`)
    }
    await expectOpens(before, values)
  })

  test('names a data key that does not open, and leaves it', async () => {
    const [oldKey, freshKey] = [newKey(), newKey()]
    await sealMany(wrapperOf({ MASTER_KEY: oldKey }), 3)
    const { rows } = await database.pool.query(
      `update patchbay.data_keys set wrapped = $1 where org_id = 'org-1' returning id`,
      [randomBytes(60)],
    )
    const both = wrapperOf({ MASTER_KEY: freshKey, MASTER_KEY_PREVIOUS: oldKey })
    expect(await rotate(both)).toMatchObject({
      rewrapped: 3,
      total: 4,
      outdated: 1,
      broken: [`org-1/${rows[0].id}`],
    })
  })

  test('goes on under processes that seal and open, old orgs and new ones', async () => {
    const keys = [newKey(), newKey(), newKey(), newKey()]
    const [first = '', ...later] = keys
    const values = await sealMany(wrapperOf({ MASTER_KEY: first }), 30)
    let previous = first
    for (const [round, key] of later.entries()) {
      const both = { MASTER_KEY: key, MASTER_KEY_PREVIOUS: previous }
      const turned = { MASTER_KEY: previous, MASTER_KEY_PREVIOUS: key }
      const processes = [await openRing(wrapperOf(both)), await openRing(wrapperOf(turned))]
      let isRotating = true
      const work = processes.map(async (keyring, i) => {
        for (let n = 0; isRotating; n += 1) {
          const place = placeOf(`new-${round}-${i}-${n}`)
          const sealed = await keyring.seal(place, `secret of ${place.orgId}`)
          values.push({ place, sealed })
          const known = values[n % values.length]
          if (known !== undefined) {
            const text = await keyring.open(known.place, known.sealed)
            expect(text).toBe(`secret of ${known.place.orgId}`)
          }
        }
      })
      expect(await rotate(wrapperOf(both))).toMatchObject({ outdated: 0, broken: [] })
      isRotating = false
      await Promise.all(work)
      previous = key
      await expectOpens(wrapperOf({ MASTER_KEY: key }), values)
    }
  })

  test('leads from our own key to Vault, to a later version there, and back', async () => {
    const vault = stack.use(await openVault())
    vault.addKey('patchbay')
    const atVault = { KMS_VAULT_URL: vault.url, KMS_VAULT_TOKEN: vault.token }
    const [oldKey, lastKey] = [newKey(), newKey()]
    const values = await sealMany(wrapperOf({ MASTER_KEY: oldKey }), 25)

    const inVault = { ...atVault, KMS_VAULT_KEY: 'patchbay' }
    const there = await rotate(wrapperOf({ ...inVault, MASTER_KEY_PREVIOUS: oldKey }))
    expect(there).toMatchObject({
      currentId: 'vault:transit/patchbay:v1',
      rewrapped: 26,
      outdated: 0,
    })
    await expectOpens(wrapperOf(inVault), values)

    vault.rotate('patchbay')
    const newer = await rotate(wrapperOf(inVault))
    expect(newer).toMatchObject({
      currentId: 'vault:transit/patchbay:v2',
      rewrapped: 26,
      outdated: 0,
    })
    vault.forbidBelow('patchbay', 2)
    await expectOpens(wrapperOf(inVault), values)

    const back = { MASTER_KEY: lastKey, MASTER_KEY_PREVIOUS: 'vault:transit/patchbay', ...atVault }
    expect(await rotate(wrapperOf(back))).toMatchObject({ rewrapped: 26, outdated: 0 })
    await expectOpens(wrapperOf({ MASTER_KEY: lastKey }), values)
  })

  test('that loses Vault on its way says so, and goes on the next time', async () => {
    const vault = stack.use(await openVault())
    vault.addKey('patchbay')
    const oldKey = newKey()
    const values = await sealMany(wrapperOf({ MASTER_KEY: oldKey }), 60)
    const settings = {
      KMS_VAULT_URL: vault.url,
      KMS_VAULT_TOKEN: vault.token,
      KMS_VAULT_KEY: 'patchbay',
    }
    const both = wrapperOf({ ...settings, MASTER_KEY_PREVIOUS: oldKey })
    const losing: KeyWrapper = {
      ...both,
      wrap: (...args) => {
        if (vault.calls.length > 30) vault.misbehave = 'sealed'
        return both.wrap(...args)
      },
    }
    await expect(rotate(losing)).rejects.toMatchObject({ code: 'UNAVAILABLE' })
    vault.misbehave = null
    const again = wrapperOf({ ...settings, MASTER_KEY_PREVIOUS: oldKey })
    expect(await rotate(again)).toMatchObject({ outdated: 0 })
    await expectOpens(wrapperOf(settings), values)
  })
})

test('of two keys that meet at the first start of all, one serves and the other is refused', async () => {
  const wrappers = [wrapperOf({ MASTER_KEY: newKey() }), wrapperOf({ MASTER_KEY: newKey() })]
  const store = makeDataKeyStore(database.pool)
  const bothLooked = Promise.withResolvers<void>()
  let looks = 0
  // Neither goes on before both have seen an empty database.
  const samples = async () => {
    const found = await store.samples()
    looks += 1
    if (looks === 2) bothLooked.resolve()
    await bothLooked.promise
    return found
  }
  const opened = await Promise.allSettled(
    wrappers.map((wrapper) =>
      openKeyring({ wrapper, store: { ...store, samples }, newId: randomUUID }),
    ),
  )
  expect(opened.map(({ status }) => status).toSorted()).toEqual(['fulfilled', 'rejected'])
  for (const [i, start] of opened.entries()) {
    const wrapper = wrappers[i] ?? expect.unreachable()
    if (start.status === 'rejected') {
      expect(String(start.reason)).toContain('is not the key this database was sealed with')
      await expect(openRing(wrapper)).rejects.toThrow('is not the key')
    } else {
      const place = placeOf('first')
      const sealed = await start.value.seal(place, 'secret of first')
      await expectOpens(wrapper, [{ place, sealed }])
    }
  }
})

test('an embedded installation rotates its key file under a process that makes new orgs all the while', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'patchbay-keys-'))
  stack.defer(() => rm(dir, { recursive: true, force: true }))
  const config = parseConfig({ PATCHBAY_DIR: dir })
  const file = embeddedKeyFile(config)
  const open = () => makeKeyWrapper(config, { fetch, onChange: () => undefined })
  const values = await sealMany(open(), 10)
  const running = await openRing(open())
  let isRotating = true
  const work = Promise.all(
    [0, 1, 2].map(async (i) => {
      for (let n = 0; isRotating; n += 1) {
        const place = placeOf(`new-${i}-${n}`)
        values.push({ place, sealed: await running.seal(place, `secret of ${place.orgId}`) })
      }
    }),
  )
  for (let round = 0; round < 5; round += 1) {
    const { pool } = database
    const deps = { pool, wrapper: open(), ...QUIET, signal }
    expect(await rotateMasterKey(deps, file)).toMatchObject({ outdated: 0, broken: [] })
  }
  isRotating = false
  await work
  expect(values.length).toBeGreaterThan(10)
  expect(await file?.read()).toHaveLength(1)
  expect(await masterKeyIds()).toEqual([await open().currentId()])
  await expectOpens(open(), values)
})
