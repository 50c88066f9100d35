import { randomBytes, randomUUID } from 'node:crypto'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { makeStore } from '../../test/fixtures/data-key-store.ts'
import { until } from '../../test/fixtures/process.ts'
import { openVault, type TestVault } from '../../test/fixtures/vault.ts'
import { Secret } from '../core/secret.ts'
import { assertOpens } from './key-check.ts'
import { withPrevious } from './key-wrapper.ts'
import { openKeyring } from './keyring.ts'
import { KeyringError } from './keyring-error.ts'
import { makeLocalWrapper } from './local-wrapper.ts'
import { makeCallVault } from './vault.ts'
import { makeVaultWrapper } from './vault-wrapper.ts'

const REASON =
  'vault:transit/patchbay:v1 wraps data keys of this database and may not be used. Vault cannot be used: it answered 403, permission denied. See docs/keys.md.'

let vault: TestVault
beforeEach(async () => {
  vault = await openVault()
  vault.addKey('patchbay')
})
afterEach(() => vault[Symbol.asyncDispose]())

function atVault(token: string) {
  const [changes, clock] = [[] as (string | null)[], { nowMs: 0 }]
  const names = { mount: 'transit', key: 'patchbay' }
  const call = makeCallVault({
    ...names,
    url: vault.url,
    token: new Secret(token),
    fetch,
    timeoutMs: 30_000,
  })
  const wrapper = makeVaultWrapper({
    ...names,
    call,
    setting: 'MASTER_KEY_PREVIOUS',
    onChange: (reason) => changes.push(reason),
    nowMs: () => clock.nowMs,
  })
  return { wrapper, changes, clock }
}

/** What a process does at its start that has a new key of its own, and the one in Vault from before. */
async function openWith(previous: ReturnType<typeof atVault>) {
  const store = makeStore()
  await openKeyring({ wrapper: atVault(vault.token).wrapper, store, newId: randomUUID })
  const newKey = new Secret(randomBytes(32).toString('base64'))
  const current = makeLocalWrapper('MASTER_KEY', () => [newKey])
  return { wrapper: withPrevious(current, [previous.wrapper]), store }
}

test('an earlier key that may not be used is said at the start, and not waited for', async () => {
  const start = assertOpens(await openWith(atVault('hvs.wrong')))
  await expect(start).rejects.toThrow(KeyringError)
  await expect(start).rejects.toThrow(REASON)
})

test('an earlier key that is waited for, and then may not be used, is said too', async () => {
  const previous = atVault(vault.token)
  const deps = await openWith(previous)
  vault.misbehave = 'sealed'
  await expect(assertOpens(deps)).rejects.toMatchObject({ code: 'UNAVAILABLE' })
  vault.misbehave = 'denies'
  previous.clock.nowMs = 5000
  // Asks again behind the answer.
  await expect(assertOpens(deps)).rejects.toMatchObject({ code: 'UNAVAILABLE' })
  await until('it has asked', async () => (await failureOf(deps)) instanceof KeyringError)
  expect(String(await failureOf(deps))).toContain(REASON)
  vault.misbehave = null
  previous.clock.nowMs = 10_000
  await until('it has asked', async () => (await failureOf(deps)) === null)
  expect(previous.changes).toEqual(['it answered 503, Vault is sealed', null])
})

test('an earlier key that still wraps what is new, and may only open, is said at the start', async () => {
  const deps = { ...(await openWith(atVault(vault.token))), newId: randomUUID }
  vault.misbehave = 'denies encrypt'
  const start = openKeyring(deps)
  await expect(start).rejects.toThrow(KeyringError)
  await expect(start).rejects.toThrow(
    'MASTER_KEY_PREVIOUS: Vault does not encrypt by the key transit/patchbay: it answered 403',
  )
})

const failureOf = (deps: Awaited<ReturnType<typeof openWith>>): Promise<unknown> =>
  assertOpens(deps).then(
    () => null,
    (error: unknown) => error,
  )
