import { randomBytes, randomUUID } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { makeStore } from '../../test/fixtures/data-key-store.ts'
import { AppError } from '../core/error.ts'
import { Secret } from '../core/secret.ts'
import type { DataKeyStore } from './data-key.ts'
import { type KeyWrapper, withPrevious } from './key-wrapper.ts'
import { openKeyring } from './keyring.ts'
import { KeyringError } from './keyring-error.ts'
import { makeLocalWrapper } from './local-wrapper.ts'

const CONTEXT = { orgId: 'acme', table: 'webhook_subscriptions', column: 'secrets', rowId: 'row-1' }
const PLAIN = 'xoxb-a-token-nobody-may-see'

const newMasterKey = () => new Secret(randomBytes(32).toString('base64'))

async function open(store: DataKeyStore, masterKey: Secret) {
  const wrapper = makeLocalWrapper('MASTER_KEY', () => [masterKey])
  return openKeyring({ wrapper, store, newId: randomUUID })
}

const HOUR_MS = 3_600_000

/** A master key in a service that may be away, and the clock of a keyring on it. */
function openRemote(store: DataKeyStore) {
  const local = makeLocalWrapper('KMS_VAULT_KEY', () => [REMOTE_KEY])
  const state = { isAway: false, nowMs: 0, unwraps: 0 }
  const wrapper: KeyWrapper = {
    ...local,
    wrap: (...args) => (state.isAway ? Promise.reject(away()) : local.wrap(...args)),
    unwrap: (...args) => {
      state.unwraps += 1
      return state.isAway ? Promise.reject(away()) : local.unwrap(...args)
    },
  }
  const opened = openKeyring({ wrapper, store, newId: randomUUID, nowMs: () => state.nowMs })
  return { state, opened }
}

const REMOTE_KEY = newMasterKey()
const away = () => new AppError('UNAVAILABLE', 'away')

describe('two master keys', () => {
  const [oldKey, newKey] = [newMasterKey(), newMasterKey()]

  test('open at once what each of them wrapped; what wraps the installation wraps what is new', async () => {
    const store = makeStore()
    const before = await (await open(store, oldKey)).seal(CONTEXT, 'before')
    const wrapper = withPrevious(
      makeLocalWrapper('MASTER_KEY', () => [newKey]),
      [makeLocalWrapper('MASTER_KEY_PREVIOUS', () => [oldKey])],
    )
    const keyring = await openKeyring({ wrapper, store, newId: randomUUID })
    expect(await keyring.open(CONTEXT, before)).toBe('before')
    const other = { ...CONTEXT, orgId: 'other' }
    expect(await keyring.open(other, await keyring.seal(other, 'after'))).toBe('after')
    const [own] = store.rows.get('') ?? []
    expect(own?.masterKeyId).not.toBe(await wrapper.currentId())
    expect(store.rows.get('other')?.map((row) => row.masterKeyId)).toEqual([own?.masterKeyId])
  })

  test('one of which is missing: found at the start, though only one org is sealed with it', async () => {
    const store = makeStore()
    await open(store, oldKey)
    const lent = makeStore()
    await (await open(lent, newKey)).seal({ ...CONTEXT, orgId: 'other' }, PLAIN)
    const [foreign] = lent.rows.get('other') ?? []
    store.rows.set('other', foreign === undefined ? [] : [foreign])
    const error = await open(store, oldKey).catch((cause: unknown) => cause)
    expect(error).toBeInstanceOf(KeyringError)
    const [own] = store.rows.get('') ?? []
    expect(String(error)).toContain(`its id is ${own?.masterKeyId}, but 1 of 2 data keys are`)
    expect(String(error)).toContain(`wrapped by ${foreign?.masterKeyId}`)
    expect(String(error)).toContain('npm run keys:rotate')
  })

  test('once rotated away, the old one adds no data key in a process that still runs', async () => {
    const store = makeStore()
    const stale = await open(store, oldKey)
    const sealed = await stale.seal(CONTEXT, PLAIN)
    const fresh = makeStore()
    await open(fresh, newKey)
    store.rows.set('', fresh.rows.get('') ?? [])
    await expect(stale.seal({ ...CONTEXT, orgId: 'other' }, PLAIN)).rejects.toThrow(
      'MASTER_KEY is not the key this database is sealed with any more',
    )
    expect(store.rows.has('other')).toBe(false)
    expect(await stale.open(CONTEXT, sealed)).toBe(PLAIN)
  })

  test('a key file that is rotated under a running process is followed', async () => {
    const store = makeStore()
    let keys = [oldKey]
    const wrapper = makeLocalWrapper('MASTER_KEY', () => keys)
    const keyring = await openKeyring({ wrapper, store, newId: randomUUID })
    const sealed = await keyring.seal(CONTEXT, PLAIN)
    keys = [newKey, oldKey]
    const fresh = makeStore()
    await open(fresh, newKey)
    store.rows.set('', fresh.rows.get('') ?? [])
    const other = { ...CONTEXT, orgId: 'other' }
    await keyring.seal(other, PLAIN)
    const newId = await makeLocalWrapper('MASTER_KEY', () => [newKey]).currentId()
    expect(store.rows.get('other')?.[0]?.masterKeyId).toBe(newId)
    expect(await keyring.open(CONTEXT, sealed)).toBe(PLAIN)
  })
})

describe('while who keeps the master key is away', () => {
  test('data keys that are at hand seal and open for an hour, and no longer', async () => {
    const { state, opened } = openRemote(makeStore())
    const keyring = await opened
    const sealed = await keyring.seal(CONTEXT, PLAIN)
    state.isAway = true
    state.nowMs = HOUR_MS - 1
    expect(await keyring.open(CONTEXT, sealed)).toBe(PLAIN)
    expect(await keyring.open(CONTEXT, await keyring.seal(CONTEXT, 'more'))).toBe('more')
    state.nowMs = HOUR_MS
    await expect(keyring.open(CONTEXT, sealed)).rejects.toMatchObject({ code: 'UNAVAILABLE' })
    await expect(keyring.seal(CONTEXT, 'x')).rejects.toMatchObject({ code: 'UNAVAILABLE' })
    state.isAway = false
    expect(await keyring.open(CONTEXT, sealed)).toBe(PLAIN)
  })

  test('an org that has no data key yet is told so', async () => {
    const { state, opened } = openRemote(makeStore())
    const keyring = await opened
    state.isAway = true
    await expect(keyring.seal(CONTEXT, PLAIN)).rejects.toMatchObject({ code: 'UNAVAILABLE' })
  })

  test('it is asked once for a key that many need at the same time', async () => {
    const store = makeStore()
    const sealed = await (await openRemote(store).opened).seal(CONTEXT, PLAIN)
    const { state, opened } = openRemote(store)
    const keyring = await opened
    state.unwraps = 0
    await Promise.all(Array.from({ length: 100 }, () => keyring.open(CONTEXT, sealed)))
    expect(state.unwraps).toBe(1)
  })
})
