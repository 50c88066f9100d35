import { randomBytes, randomUUID } from 'node:crypto'
import { inspect } from 'node:util'
import { describe, expect, test } from 'vitest'
import { makeStore } from '../../test/fixtures/data-key-store.ts'
import { Secret } from '../core/secret.ts'
import { addDataKey, type DataKeyStore } from './data-key.ts'
import { openKeyring, toRowId } from './keyring.ts'
import { KeyringError } from './keyring-error.ts'
import { makeLocalWrapper } from './local-wrapper.ts'

const CONTEXT = { orgId: 'acme', table: 'webhook_subscriptions', column: 'secrets', rowId: 'row-1' }
const PLAIN = 'xoxb-a-token-nobody-may-see'

const newMasterKey = () => new Secret(randomBytes(32).toString('base64'))

async function open(store: DataKeyStore = makeStore(), masterKey = newMasterKey()) {
  const wrapper = makeLocalWrapper('MASTER_KEY', () => [masterKey])
  return openKeyring({ wrapper, store, newId: randomUUID })
}

/** The value with one bit of one byte turned over. */
function flipped(sealed: Buffer, at: number): Buffer {
  const copy = Buffer.from(sealed)
  copy[at] = (copy[at] ?? 0) ^ 1
  return copy
}

describe('a sealed value', () => {
  test.each([PLAIN, '', 'Grüße, 漢字 🎉\u0000', 'x'.repeat(100_000)])(
    'opens where it was sealed (case %#)',
    async (text) => {
      const keyring = await open()
      expect(await keyring.open(CONTEXT, await keyring.seal(CONTEXT, text))).toBe(text)
    },
  )

  test('does not contain its plaintext, nor does the store', async () => {
    const store = makeStore()
    const sealed = await (await open(store)).seal(CONTEXT, PLAIN)
    const stored = [...store.rows.values()].flat().map((row) => row.wrapped)
    for (const bytes of [sealed, ...stored]) {
      expect(bytes.includes(PLAIN)).toBe(false)
      expect(bytes.includes(PLAIN.slice(0, 8))).toBe(false)
      expect(bytes.includes(Buffer.from(PLAIN).toString('base64'))).toBe(false)
    }
  })

  test('differs from every other one of the same text', async () => {
    const keyring = await open()
    const seals = await Promise.all(Array.from({ length: 50 }, () => keyring.seal(CONTEXT, PLAIN)))
    const bodies = seals.map((sealed) => sealed.subarray(17).toString('hex'))
    expect(new Set(bodies).size).toBe(50)
    const nonces = bodies.map((body) => body.slice(0, 24))
    expect(new Set(nonces).size).toBe(50)
  })

  test.each([
    ['row', { rowId: 'row-2' }],
    ['column', { column: 'headers' }],
    ['table', { table: 'org_integrations' }],
    ['org', { orgId: 'other' }],
    ['org, the installation', { orgId: '' }],
  ])('moved to another %s does not open', async (_, moved) => {
    const keyring = await open()
    const sealed = await keyring.seal(CONTEXT, PLAIN)
    await keyring.seal({ ...CONTEXT, orgId: 'other' }, PLAIN)
    await expect(keyring.open({ ...CONTEXT, ...moved }, sealed)).rejects.toThrow(KeyringError)
    expect(await keyring.open(CONTEXT, sealed)).toBe(PLAIN)
  })

  test('does not open in another org that was given the wrapped key too', async () => {
    const store = makeStore()
    const keyring = await open(store)
    const sealed = await keyring.seal(CONTEXT, PLAIN)
    store.rows.set('thief', store.rows.get('acme') ?? [])
    const stolen = { ...CONTEXT, orgId: 'thief' }
    await expect(keyring.open(stolen, sealed)).rejects.toThrow(KeyringError)
    await expect(keyring.seal(stolen, PLAIN)).rejects.toThrow(KeyringError)
  })

  test('parts of the context cannot be shifted into each other', async () => {
    const keyring = await open()
    const sealed = await keyring.seal({ ...CONTEXT, column: 'a', rowId: 'b,c' }, PLAIN)
    const shifted = { ...CONTEXT, column: 'a,b', rowId: 'c' }
    await expect(keyring.open(shifted, sealed)).rejects.toThrow(KeyringError)
  })

  test('with any one bit flipped does not open', async () => {
    const keyring = await open()
    const sealed = await keyring.seal(CONTEXT, 'short')
    for (const at of sealed.keys()) {
      await expect(keyring.open(CONTEXT, flipped(sealed, at))).rejects.toThrow(KeyringError)
    }
  })

  test.each(['', 'short'])(
    'cut at any length, its tag included, does not open (text %j)',
    async (text) => {
      const keyring = await open()
      const sealed = await keyring.seal(CONTEXT, text)
      for (const length of sealed.keys()) {
        const cut = sealed.subarray(0, length)
        await expect(keyring.open(CONTEXT, cut)).rejects.toThrow(KeyringError)
      }
    },
  )

  test('with more behind it does not open', async () => {
    const keyring = await open()
    const sealed = await keyring.seal(CONTEXT, PLAIN)
    const longer = Buffer.concat([sealed, Buffer.of(0)])
    await expect(keyring.open(CONTEXT, longer)).rejects.toThrow(KeyringError)
  })
})

describe('a sealed value of another hand', () => {
  test('in an unknown version, or under a key id that is not its own, does not open', async () => {
    const store = makeStore()
    const masterKey = newMasterKey()
    const wrapper = makeLocalWrapper('MASTER_KEY', () => [masterKey])
    const keyring = await openKeyring({ wrapper, store, newId: randomUUID })
    const sealed = await keyring.seal(CONTEXT, PLAIN)
    for (const version of [0, 2, 255]) {
      const other = Buffer.concat([Buffer.of(version), sealed.subarray(1)])
      await expect(keyring.open(CONTEXT, other)).rejects.toThrow('not a sealed value')
    }
    const nobodys = Buffer.concat([Buffer.of(1), randomBytes(16), sealed.subarray(17)])
    await expect(keyring.open(CONTEXT, nobodys)).rejects.toThrow('not known here')
    // A second data key of the same org, named in the place of the right one.
    await addDataKey({ wrapper, store, newId: randomUUID }, 'acme')
    const [newest] = store.rows.get('acme') ?? []
    const id = Buffer.from(newest?.id.replaceAll('-', '') ?? '', 'hex')
    const renamed = Buffer.concat([Buffer.of(1), id, sealed.subarray(17)])
    await expect(keyring.open(CONTEXT, renamed)).rejects.toThrow('was changed')
    expect(await keyring.open(CONTEXT, sealed)).toBe(PLAIN)
  })

  test('whose tag is cut to four bytes and moved up to its text does not open', async () => {
    const keyring = await open()
    const sealed = await keyring.seal(CONTEXT, PLAIN)
    const shortTag = Buffer.concat([sealed.subarray(0, 33), sealed.subarray(45)])
    await expect(keyring.open(CONTEXT, shortTag)).rejects.toThrow(KeyringError)
  })
})

test('a row id is of one key alone, and reads plainly where its parts have no mark in them', () => {
  const keys = [['a/b', 'c'], ['a', 'b/c'], ['a%2Fb', 'c'], ['a%', '2Fb/c'], ['a/b/c']]
  expect(new Set(keys.map(toRowId)).size).toBe(keys.length)
  expect(toRowId(['auth0|1', 'order 7'])).toBe('auth0|1/order 7')
})

test('nothing of a keyring prints a key', async () => {
  const store = makeStore()
  const masterKey = newMasterKey()
  const wrapper = makeLocalWrapper('MASTER_KEY', () => [masterKey])
  const keyring = await openKeyring({ wrapper, store, newId: randomUUID })
  await keyring.seal(CONTEXT, PLAIN)
  const things = [
    masterKey,
    wrapper,
    keyring,
    { masterKey },
    [masterKey],
    new Error('x', { cause: masterKey }),
  ]
  const printed = things.map(
    (thing) =>
      `${inspect(thing, { depth: 9, showHidden: true })}${JSON.stringify(thing)}${String(thing)}`,
  )
  const key = Buffer.from(masterKey.reveal(), 'base64')
  for (const text of [masterKey.reveal(), key.toString('hex')]) {
    expect(printed.join()).not.toContain(text)
  }
})

describe(openKeyring, () => {
  test('a wrong master key is found at once, and the error names neither key', async () => {
    const store = makeStore()
    await open(store)
    const wrong = newMasterKey()
    const error = await open(store, wrong).catch((cause: unknown) => cause)
    expect(error).toBeInstanceOf(KeyringError)
    expect(String(error)).toContain('MASTER_KEY is not the key')
    expect(String(error)).not.toContain(wrong.reveal())
  })

  test('a wrong master key is found even where its id was forged', async () => {
    const store = makeStore()
    await open(store)
    const wrong = newMasterKey()
    const other = makeStore()
    await open(other, wrong)
    const [forged] = other.rows.get('') ?? []
    const [own] = store.rows.get('') ?? []
    if (forged === undefined || own === undefined) throw new Error('no key was stored')
    store.rows.set('', [{ ...own, masterKeyId: forged.masterKeyId }])
    await expect(open(store, wrong)).rejects.toThrow(KeyringError)
  })

  test('a wrapped key that was changed, cut or exchanged is refused', async () => {
    const store = makeStore()
    const masterKey = newMasterKey()
    await (await open(store, masterKey)).seal(CONTEXT, PLAIN)
    const [own] = store.rows.get('') ?? []
    const [other] = store.rows.get('acme') ?? []
    if (own === undefined || other === undefined) throw new Error('no key was stored')
    const broken = [
      flipped(own.wrapped, own.wrapped.length - 1),
      ...[0, 8, 20, 40].map((length) => own.wrapped.subarray(0, length)),
      other.wrapped,
    ]
    for (const wrapped of broken) {
      store.rows.set('', [{ ...own, wrapped }])
      await expect(open(store, masterKey)).rejects.toThrow(KeyringError)
    }
  })

  test('the next process opens what the last one sealed', async () => {
    const store = makeStore()
    const masterKey = newMasterKey()
    const sealed = await (await open(store, masterKey)).seal(CONTEXT, PLAIN)
    expect(await (await open(store, masterKey)).open(CONTEXT, sealed)).toBe(PLAIN)
  })

  test('every org has a key of its own, made once', async () => {
    const store = makeStore()
    const keyring = await open(store)
    for (const orgId of ['a', 'b', 'a', 'b']) await keyring.seal({ ...CONTEXT, orgId }, PLAIN)
    expect([...store.rows].map(([orgId, keys]) => [orgId, keys.length])).toEqual([
      ['', 1],
      ['a', 1],
      ['b', 1],
    ])
  })

  test('a key that another process made meanwhile is found', async () => {
    const store = makeStore()
    const masterKey = newMasterKey()
    const [here, there] = [await open(store, masterKey), await open(store, masterKey)]
    const before = await here.seal(CONTEXT, 'before')

    const elsewhere = makeStore(new Map([['', store.rows.get('') ?? []]]))
    const third = await open(elsewhere, masterKey)
    const after = await third.seal(CONTEXT, 'after')
    store.rows.set('acme', [
      ...(elsewhere.rows.get('acme') ?? []),
      ...(store.rows.get('acme') ?? []),
    ])

    expect(await here.open(CONTEXT, after)).toBe('after')
    expect(await here.open(CONTEXT, before)).toBe('before')
    expect(await there.open(CONTEXT, after)).toBe('after')
    expect(await there.open(CONTEXT, before)).toBe('before')
  })

  test('two processes that make the first key at once open what each other sealed', async () => {
    const store = makeStore()
    const masterKey = newMasterKey()
    const [a, b] = [await open(store, masterKey), await open(store, masterKey)]
    const [byA, byB] = await Promise.all([a.seal(CONTEXT, 'by a'), b.seal(CONTEXT, 'by b')])
    expect(store.rows.get('acme')).toHaveLength(2)
    expect(await a.open(CONTEXT, byB)).toBe('by b')
    expect(await b.open(CONTEXT, byA)).toBe('by a')
  })

  test('an org that was deleted and made again is sealed by its new key', async () => {
    const store = makeStore()
    const masterKey = newMasterKey()
    const keyring = await open(store, masterKey)
    const old = await keyring.seal(CONTEXT, PLAIN)
    store.rows.delete('acme')
    const sealed = await keyring.seal(CONTEXT, PLAIN)
    const fresh = await open(store, masterKey)
    expect(await fresh.open(CONTEXT, sealed)).toBe(PLAIN)
    await expect(fresh.open(CONTEXT, old)).rejects.toThrow('not known here')
  })

  test('a store that fails is asked again the next time', async () => {
    const store = makeStore()
    const masterKey = newMasterKey()
    const sealed = await (await open(store, masterKey)).seal(CONTEXT, PLAIN)
    let isAway = false
    const flaky: DataKeyStore = {
      ...store,
      list: (orgId) => (isAway ? Promise.reject(new Error('away')) : store.list(orgId)),
    }
    const keyring = await open(flaky, masterKey)
    isAway = true
    await expect(keyring.open(CONTEXT, sealed)).rejects.toThrow('away')
    isAway = false
    expect(await keyring.open(CONTEXT, sealed)).toBe(PLAIN)
  })

  test('it remembers the keys of ten thousand orgs, and forgets the oldest beyond that', async () => {
    const store = makeStore()
    const asked: string[] = []
    const list = (orgId: string) => {
      asked.push(orgId)
      return store.list(orgId)
    }
    const keyring = await open({ ...store, list })
    const contexts = Array.from({ length: 10_001 }, (_, i) => ({ ...CONTEXT, orgId: `org-${i}` }))
    const sealed = await Promise.all(contexts.map((context) => keyring.seal(context, PLAIN)))
    asked.length = 0
    for (const i of [10_000, 1, 0]) {
      expect(await keyring.open({ ...CONTEXT, orgId: `org-${i}` }, sealed[i] ?? Buffer.of())).toBe(
        PLAIN,
      )
    }
    expect(asked).toEqual(['org-0'])
  })
})
