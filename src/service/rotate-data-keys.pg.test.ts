import { randomBytes, randomUUID } from 'node:crypto'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { openTestDatabase, type TestDatabase } from '../../test/fixtures/database.ts'
import { addLane } from '../../test/fixtures/lanes.ts'
import { Secret } from '../core/secret.ts'
import { makeDataKeyStore } from '../db/data-keys.ts'
import { makeResealStore, SEALED_COLUMNS, startOf } from '../db/sealed-values.ts'
import { addDataKey } from '../security/data-key.ts'
import { type Keyring, openKeyring, toRowId } from '../security/keyring.ts'
import { makeLocalWrapper } from '../security/local-wrapper.ts'
import { resealValues } from '../security/reseal.ts'
import { rotateDataKeys } from './rotate-keys.ts'

const masterKey = new Secret(randomBytes(32).toString('base64'))
const wrapper = makeLocalWrapper('MASTER_KEY', () => [masterKey])
const QUIET = { say: () => undefined, progress: () => undefined }
const signal = new AbortController().signal

let database: TestDatabase
let keyring: Keyring
beforeEach(async () => {
  database = await openTestDatabase()
  keyring = await openRing()
})
afterEach(() => database[Symbol.asyncDispose]())

/** As a process does that has just started: nothing is remembered. */
const openRing = () =>
  openKeyring({ wrapper, store: makeDataKeyStore(database.pool), newId: randomUUID })
const rotate = (graceS = 0) =>
  rotateDataKeys({ pool: database.pool, wrapper, ...QUIET, signal }, graceS)

/** What stands in one row for each sealed column: where, and the statement that reads it. */
async function fillOrg(orgId: string) {
  const { subscriptionId, integrationId } = await addLane(database.pool, orgId)
  await database.pool.query(
    `insert into patchbay.idempotency_keys (org_id, principal_id, key, request_hash, status, holder)
     values ($1, 'user/1', 'key 1', '', 201, $2)`,
    [orgId, randomUUID()],
  )
  const inbound = await database.pool.query(
    `insert into patchbay.inbound_events (org_id, integration_id, key) values ($1, $2, 'webhook:1') returning id`,
    [orgId, integrationId],
  )
  const approval = await database.pool.query(
    `insert into patchbay.tool_approvals (org_id, tool, tool_id, integration_id, user_id, source, arguments, call_hash, expires_at)
     values ($1, 'a', $2, $2, 'ann', 'api', '{}', '', now()) returning id`,
    [orgId, integrationId],
  )
  const rowIds: Record<string, string> = {
    tool_approvals: approval.rows[0].id,
    inbound_events: inbound.rows[0].id,
    org_integrations: integrationId,
    webhook_subscriptions: subscriptionId,
    idempotency_keys: toRowId(['user/1', 'key 1']),
  }
  const values = SEALED_COLUMNS.map(({ table, column }) => ({
    place: { orgId, table, column, rowId: rowIds[table] ?? '' },
    text: `${column} of ${orgId}: ${'x'.repeat(column === 'secrets' ? 10_000 : 10)}`,
    read: async (): Promise<Buffer> => {
      const { rows } = await database.pool.query(
        `select ${column} as sealed from patchbay.${table} where org_id = $1`,
        [orgId],
      )
      return rows[0].sealed
    },
  }))
  for (const { place, text } of values) {
    await database.pool.query(
      `update patchbay.${place.table} set ${place.column} = $2 where org_id = $1`,
      [orgId, await keyring.seal(place, text)],
    )
  }
  return values
}

const keyIdOf = (sealed: Buffer) => sealed.subarray(1, 17).toString('hex')

async function dataKeyIds(orgId: string): Promise<string[]> {
  const keys = await makeDataKeyStore(database.pool).list(orgId)
  return keys.map(({ id }) => id.replaceAll('-', ''))
}

test('every column of bytes is known to be sealed, or known not to be', async () => {
  const { rows } = await database.pool.query(
    `select table_name || '.' || column_name as name from information_schema.columns
     where table_schema = 'patchbay' and data_type = 'bytea'
       and table_name in (select table_name from information_schema.tables where table_type = 'BASE TABLE')`,
  )
  const plain = [
    'api_keys.hash',
    'app_installs.browser_hash',
    'app_installs.hash',
    // Sealed; one that does not open any more is followed by a new one.
    'context_keys.private_jwk',
    'data_keys.wrapped',
    'idempotency_keys.request_hash',
  ]
  const sealed = SEALED_COLUMNS.map(({ table, column }) => `${table}.${column}`)
  expect(rows.map(({ name }) => name).toSorted()).toEqual([...plain, ...sealed].toSorted())
})

test('every value is sealed again under a new data key, and the old one is gone', async () => {
  const orgs = [await database.addOrg(), await database.addOrg()]
  const values = (await Promise.all(orgs.map(fillOrg))).flat()
  const before = await Promise.all(values.map(({ read }) => read()))
  const oldIds = new Set(before.map(keyIdOf))
  expect(oldIds.size).toBe(2)
  expect(await rotate()).toEqual({
    orgs: 3,
    resealed: values.length,
    broken: [],
    deleted: 3,
    kept: 0,
  })
  const fresh = await openRing()
  for (const { place, text, read } of values) {
    const sealed = await read()
    expect(oldIds.has(keyIdOf(sealed))).toBe(false)
    expect(await dataKeyIds(place.orgId)).toEqual([keyIdOf(sealed)])
    // The process that was running, and one that starts now.
    expect(await keyring.open(place, sealed)).toBe(text)
    expect(await fresh.open(place, sealed)).toBe(text)
  }
  for (const [i, { place }] of values.entries()) {
    await expect(fresh.open(place, before[i] ?? Buffer.of())).rejects.toThrow('not known here')
  }
})

test('no revision and no time of change moves, and deleted rows stay empty', async () => {
  const orgId = await database.addOrg()
  await fillOrg(orgId)
  const gone = await addLane(database.pool, orgId)
  const read = () =>
    database.pool.query(
      `select id, revision, updated_at, octet_length(secrets) = 0 as is_empty from patchbay.webhook_subscriptions order by id`,
    )
  const { rows: before } = await read()
  await rotate()
  expect((await read()).rows).toEqual(before)
  expect(before.find(({ id }) => id === gone.subscriptionId)?.is_empty).toBe(true)
})

test('a value that was changed since it was read is not overwritten', async () => {
  const orgId = await database.addOrg()
  const [value] = await fillOrg(orgId)
  if (value === undefined) throw new Error('no value')
  const store = makeDataKeyStore(database.pool)
  await addDataKey({ wrapper, store, newId: randomUUID }, orgId)
  const { replace, listOutdated } = makeResealStore(database.pool)
  const [column] = SEALED_COLUMNS
  if (column === undefined) throw new Error('no column')
  const [row] = await listOutdated(column, startOf(column), 10)
  if (row === undefined) throw new Error('nothing is outdated')
  const theirs = await keyring.seal(value.place, 'changed meanwhile')
  await database.pool.query('update patchbay.org_integrations set credentials = $1', [theirs])
  expect(await replace(column, row, await keyring.seal(value.place, value.text))).toBe(false)
  expect(await value.read()).toEqual(theirs)
  expect(await listOutdated(column, startOf(column), 10)).toEqual([])
})

test('a data key that something is sealed under is not deleted, nor one whose successor is young', async () => {
  const orgId = await database.addOrg()
  const [value] = await fillOrg(orgId)
  if (value === undefined) throw new Error('no value')
  const store = makeDataKeyStore(database.pool)
  const values = makeResealStore(database.pool)
  const sealed = await keyring.seal(value.place, 'late')
  await addDataKey({ wrapper, store, newId: randomUUID }, orgId)
  const reseal = () =>
    resealValues({ keyring, ...values, startOf, signal, onProgress: () => undefined })
  expect(await reseal()).toMatchObject({ resealed: SEALED_COLUMNS.length })
  // Sealed before the new key was there, written after we looked.
  await database.pool.query('update patchbay.org_integrations set credentials = $1', [sealed])
  expect(await values.deleteUnused(0)).toBe(0)
  expect(await reseal()).toEqual({ resealed: 1, broken: [] })
  expect(await values.deleteUnused(600)).toBe(0)
  expect(await values.deleteUnused(0)).toBe(1)
  expect(await values.countSuperseded()).toBe(0)
  expect(await (await openRing()).open(value.place, await value.read())).toBe('late')
})

test('what does not open is named, and keeps its data key', async () => {
  const orgId = await database.addOrg()
  const values = await fillOrg(orgId)
  const [value] = values
  const sealed = (await value?.read()) ?? Buffer.of()
  sealed[sealed.length - 1] = (sealed.at(-1) ?? 0) ^ 1
  await database.pool.query('update patchbay.org_integrations set credentials = $1', [sealed])
  expect(await rotate()).toEqual({
    orgs: 2,
    resealed: values.length - 1,
    broken: [`org_integrations.credentials ${orgId}/${value?.place.rowId}`],
    deleted: 1,
    kept: 1,
  })
})

test('values are read and written all the while, and all of them open at the end', async () => {
  const orgs = await Promise.all(Array.from({ length: 8 }, () => database.addOrg()))
  const values = (await Promise.all(orgs.map(fillOrg))).flat()
  const texts = new Map(values.map((value) => [value, value.text]))
  let isRotating = true
  const work = [0, 1, 2].map(async (i) => {
    const own = await openRing()
    const mine = values.filter((_, n) => n % 3 === i)
    for (let n = 0; isRotating; n += 1) {
      const value = mine[n % mine.length]
      if (value === undefined) return
      expect(await own.open(value.place, await value.read())).toBe(texts.get(value))
      const text = `written in round ${n}`
      const { table, column, orgId } = value.place
      await database.pool.query(`update patchbay.${table} set ${column} = $2 where org_id = $1`, [
        orgId,
        await own.seal(value.place, text),
      ])
      texts.set(value, text)
    }
  })
  // Long enough for every write that began under an old key; the second look finds what they left.
  expect(await rotate(1)).toMatchObject({ broken: [], kept: 0 })
  isRotating = false
  await Promise.all(work)
  const fresh = await openRing()
  for (const value of values) {
    expect(await fresh.open(value.place, await value.read())).toBe(texts.get(value))
  }
})
