import { randomBytes } from 'node:crypto'
import { inspect } from 'node:util'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { until } from '../../test/fixtures/process.ts'
import { type Misbehaviour, openVault, type TestVault } from '../../test/fixtures/vault.ts'
import { AppError } from '../core/error.ts'
import { Secret } from '../core/secret.ts'
import { parseAllowList } from '../egress/allow-list.ts'
import { type Egress, openEgress } from '../egress/egress.ts'
import { KeyringError } from './keyring-error.ts'
import { makeCallVault, type VaultOptions } from './vault.ts'
import { makeVaultWrapper } from './vault-wrapper.ts'

const CONTEXT = { orgId: 'acme', dataKeyId: '01a1f3c2-9d4e-7c11-8a51-6f0e2b7d9c00' }
const DATA_KEY = randomBytes(32)

let vault: TestVault
let egress: Egress
beforeEach(async () => {
  vault = await openVault()
  vault.addKey('patchbay')
  vault.addKey('derived', { isDerived: true })
  const none = parseAllowList([])
  egress = openEgress({ isHttpAllowed: false, allow: none, allowInternal: none })
})
afterEach(async () => {
  await egress[Symbol.asyncDispose]()
  await vault[Symbol.asyncDispose]()
})

function open(options: Partial<VaultOptions> = {}) {
  const changes: (string | null)[] = []
  let nowMs = 0
  const { mount = 'transit', key = 'patchbay' } = options
  const call = makeCallVault({
    url: vault.url,
    mount,
    key,
    token: new Secret(vault.token),
    fetch: egress.operatorFetch,
    timeoutMs: 30_000,
    ...options,
  })
  const wrapper = makeVaultWrapper({
    call,
    setting: 'KMS_VAULT_KEY',
    mount,
    key,
    onChange: (reason) => changes.push(reason),
    nowMs: () => nowMs,
  })
  return {
    wrapper,
    changes,
    pass: (ms: number) => {
      nowMs += ms
    },
  }
}

/** What a failure tells whoever prints it, all of it. */
const printed = (error: unknown) => inspect(error, { depth: 9, showHidden: true })

describe.each(['patchbay', 'derived'])('a data key under the transit key %s', (key) => {
  test('opens where it was wrapped, and nowhere else', async () => {
    const { wrapper } = open({ key })
    await wrapper.prove()
    const wrapped = await wrapper.wrap(DATA_KEY, CONTEXT)
    expect(wrapped.masterKeyId).toBe(`vault:transit/${key}:v1`)
    expect(wrapped.wrapped.toString()).toMatch(/^vault:v1:/)
    expect(await wrapper.unwrap(wrapped, CONTEXT)).toEqual(DATA_KEY)
    for (const moved of [{ orgId: 'other' }, { dataKeyId: 'another' }]) {
      const elsewhere = wrapper.unwrap(wrapped, { ...CONTEXT, ...moved })
      await expect(elsewhere).rejects.toThrow(KeyringError)
      await expect(elsewhere).rejects.toThrow('message authentication failed')
    }
  })

  test('of an older version opens, until Vault forbids that version', async () => {
    const { wrapper } = open({ key })
    const old = await wrapper.wrap(DATA_KEY, CONTEXT)
    vault.rotate(key)
    expect(await wrapper.currentId()).toBe(`vault:transit/${key}:v2`)
    expect(await wrapper.has(old.masterKeyId)).toBe(true)
    expect(await wrapper.unwrap(old, CONTEXT)).toEqual(DATA_KEY)
    vault.forbidBelow(key, 2)
    await expect(wrapper.unwrap(old, CONTEXT)).rejects.toThrow('disallowed by policy (too old)')
  })
})

test('it knows its own master key ids from others', async () => {
  const { wrapper } = open()
  const ids = ['vault:transit/patchbay:v1', 'vault:transit/patchbay:v12']
  const others = [
    'vault:transit/patchbay:v',
    'vault:transit/patchbay:v1x',
    'vault:transit/patchbay2:v1',
    'vault:kv/patchbay:v1',
    '0123456789abcdef',
  ]
  expect(await Promise.all(ids.map(wrapper.has))).toEqual([true, true])
  expect(await Promise.all(others.map(wrapper.has))).toEqual(others.map(() => false))
})

describe('at the start', () => {
  test.each<[string, Partial<VaultOptions>, string]>([
    ['a wrong token', { token: new Secret('hvs.wrong') }, 'answered 403, permission denied'],
    ['no token', { token: undefined }, 'answered 403, permission denied'],
    ['a mount that is not there', { mount: 'nope' }, 'answered 404, no handler for route'],
    ['a key that is not there', { key: 'nope' }, 'answered 400, encryption key not found'],
  ])('%s is said, and not waited for', async (_, options, reason) => {
    const error = await open(options)
      .wrapper.prove()
      .catch((cause: unknown) => cause)
    expect(error).toBeInstanceOf(KeyringError)
    expect(String(error)).toContain('KMS_VAULT_KEY: Vault does not encrypt by the key')
    expect(String(error)).toContain(reason)
  })

  test('a Vault that binds nothing is not used', async () => {
    vault.misbehave = 'ignores associated_data'
    const proof = open().wrapper.prove()
    await expect(proof).rejects.toThrow(KeyringError)
    await expect(proof).rejects.toThrow('does not bind associated_data')
  })

  test('a Vault that is sealed is waited for', async () => {
    vault.misbehave = 'sealed'
    const { wrapper, changes } = open()
    await expect(wrapper.prove()).rejects.toMatchObject({ code: 'UNAVAILABLE' })
    vault.misbehave = null
    await wrapper.prove()
    expect(changes).toEqual(['it answered 503, Vault is sealed', null])
  })
})

describe('while it cannot be used', () => {
  const cases: [Misbehaviour, string][] = [
    ['sealed', 'it answered 503, Vault is sealed'],
    ['denies', 'it answered 403, permission denied'],
    ['silent', 'it did not answer in time'],
    ['endless', 'its answer is too large'],
    ['redirects', 'it answered 307'],
    ['not JSON', 'it answered 200 with something else than a result'],
    ['echoes', 'it answered 500'],
  ]
  test.each(cases)('(%s) both ways are our trouble, said once', async (misbehaviour, reason) => {
    const wrapped = await open().wrapper.wrap(DATA_KEY, CONTEXT)
    vault.misbehave = misbehaviour
    const { wrapper, changes } = open(misbehaviour === 'silent' ? { timeoutMs: 100 } : {})
    for (const attempt of [
      () => wrapper.unwrap(wrapped, CONTEXT),
      () => wrapper.wrap(DATA_KEY, CONTEXT),
    ]) {
      const error = await attempt().catch((cause: unknown) => cause)
      expect(error).toBeInstanceOf(AppError)
      expect(error).toMatchObject({ code: 'UNAVAILABLE' })
      expect(printed(error)).toContain(reason)
      for (const secret of [vault.token, DATA_KEY.toString('base64')]) {
        expect(printed(error)).not.toContain(secret)
      }
    }
    expect(changes).toEqual([reason])
  })

  test('a server that is gone is said by its code', async () => {
    const { wrapper } = open()
    await vault[Symbol.asyncDispose]()
    const error = await wrapper.currentId().catch((cause: unknown) => cause)
    expect(printed(error)).toContain('it could not be reached (ECONNREFUSED)')
  })

  test('one call waits for it, the others do not, and one asks again in the background', async () => {
    const { wrapper, changes, pass } = open()
    const wrapped = await wrapper.wrap(DATA_KEY, CONTEXT)
    vault.misbehave = 'sealed'
    const unwrap = () => wrapper.unwrap(wrapped, CONTEXT)
    await expect(unwrap()).rejects.toMatchObject({ code: 'UNAVAILABLE' })
    vault.misbehave = null
    vault.calls.length = 0
    for (let i = 0; i < 10; i += 1) {
      await expect(unwrap()).rejects.toMatchObject({ code: 'UNAVAILABLE' })
    }
    expect(vault.calls).toEqual([])
    pass(5000)
    await expect(unwrap()).rejects.toMatchObject({ code: 'UNAVAILABLE' })
    await until('it is back', () => changes.at(-1) === null)
    expect(vault.calls).toEqual(['encrypt/patchbay'])
    expect(await unwrap()).toEqual(DATA_KEY)
    expect(changes).toEqual(['it answered 503, Vault is sealed', null])
  })

  test('what Vault will never take is no outage', async () => {
    const { wrapper, changes } = open()
    const wrapped = await wrapper.wrap(DATA_KEY, CONTEXT)
    const other = { ...CONTEXT, orgId: 'other' }
    await expect(wrapper.unwrap(wrapped, other)).rejects.toThrow(KeyringError)
    expect(await wrapper.unwrap(wrapped, CONTEXT)).toEqual(DATA_KEY)
    expect(changes).toEqual([])
  })
})

test('the token goes to Vault as its header, and what is sent names no secret but the data key', async () => {
  const sent: [string, RequestInit | undefined][] = []
  const { wrapper } = open({
    fetch: (url, init) => {
      sent.push([String(url), init])
      return egress.operatorFetch(url, init)
    },
  })
  await wrapper.wrap(DATA_KEY, CONTEXT)
  const [[url, init] = ['', undefined]] = sent
  expect(url).toBe(`${vault.url}/v1/transit/encrypt/patchbay`)
  expect(init?.headers).toMatchObject({ 'x-vault-token': vault.token, 'x-vault-request': 'true' })
  const aad = Buffer.from(JSON.stringify([1, 'data_keys', 'acme', CONTEXT.dataKeyId]))
  expect(JSON.parse(String(init?.body))).toEqual({
    plaintext: DATA_KEY.toString('base64'),
    associated_data: aad.toString('base64'),
    context: aad.toString('base64'),
  })
})
