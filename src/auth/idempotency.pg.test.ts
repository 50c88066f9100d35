import { randomBytes, randomUUID } from 'node:crypto'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { openTestDatabase, type TestDatabase } from '../../test/fixtures/database.ts'
import { AppError } from '../core/error.ts'
import { Secret } from '../core/secret.ts'
import { makeDataKeyStore } from '../db/data-keys.ts'
import { openKeyring } from '../security/keyring.ts'
import { KeyringError } from '../security/keyring-error.ts'
import { makeLocalWrapper } from '../security/local-wrapper.ts'
import { makeLog } from '../telemetry/log.ts'
import { type Begun, makeIdempotency } from './idempotency.ts'

let database: TestDatabase
let idempotency: ReturnType<typeof makeIdempotency>
beforeAll(async () => {
  database = await openTestDatabase()
  const masterKey = new Secret(randomBytes(32).toString('base64'))
  const wrapper = makeLocalWrapper('MASTER_KEY', () => [masterKey])
  const store = makeDataKeyStore(database.pool)
  const keyring = await openKeyring({ wrapper, store, newId: randomUUID })
  idempotency = makeIdempotency({
    inOrg: database.inOrg,
    keyring,
    newId: randomUUID,
    log: makeLog('silent'),
  })
})
afterAll(() => database[Symbol.asyncDispose]())

const requestOf = (key: string) => ({ orgId: 'o', principalId: 'me', key, fingerprint: 'POST /x' })
const answer = (body: string) => ({ status: 201, contentType: 'application/json', body })
const holderOf = (begun: Begun): string => (begun.kind === 'new' ? begun.holder : '')
/** As if so many seconds had gone by without a sign of life. */
const silence = (key: string, seconds: number) =>
  database.pool.query(
    'update patchbay.idempotency_keys set alive_at = now() - make_interval(secs => $2) where key = $1',
    [key, seconds],
  )

test('a request that is running keeps its key as long as it says so', async () => {
  const request = requestOf('alive')
  const holder = holderOf(await idempotency.begin(request))
  await silence('alive', 9)
  await expect(idempotency.begin(request)).rejects.toMatchObject({ code: 'CONFLICT' })
  await silence('alive', 60)
  await idempotency.keepAlive(request, holder)
  await expect(idempotency.begin(request)).rejects.toMatchObject({ code: 'CONFLICT' })
})

test('the key of a request whose process is gone is free after ten seconds, and its late end changes nothing', async () => {
  const request = requestOf('gone')
  const first = holderOf(await idempotency.begin(request))
  await silence('gone', 11)
  const second = holderOf(await idempotency.begin(request))
  expect(second).not.toBe('')
  await idempotency.finish(request, first, answer('too late'))
  await idempotency.release(request, first)
  await expect(idempotency.begin(request)).rejects.toMatchObject({ code: 'CONFLICT' })
  await idempotency.finish(request, second, answer('in time'))
  expect(await idempotency.begin(request)).toEqual({ kind: 'replay', answer: answer('in time') })
})

test('an answer is not forgotten for a connection that was cut', async () => {
  const request = requestOf('cut')
  const holder = holderOf(await idempotency.begin(request))
  await database.pool.query(
    `select pg_terminate_backend(pid) from pg_stat_activity
     where datname = current_database() and pid <> pg_backend_pid()`,
  )
  await idempotency.finish(request, holder, answer('kept'))
  expect(await idempotency.begin(request)).toMatchObject({ kind: 'replay' })
})

test('an answer does not open in another row whose principal and key have the same letters', async () => {
  const principals = [
    { principalId: 'a/b', key: 'c' },
    { principalId: 'a', key: 'b/c' },
    { principalId: 'a%2Fb', key: 'c' },
  ]
  const requests = principals.map((row) => ({ ...requestOf(row.key), ...row }))
  for (const request of requests) {
    const holder = holderOf(await idempotency.begin(request))
    await idempotency.finish(request, holder, answer(`of ${request.principalId}`))
    expect(await idempotency.begin(request)).toMatchObject({ kind: 'replay' })
  }
  await database.pool.query(
    `update patchbay.idempotency_keys as t set answer = s.answer
     from patchbay.idempotency_keys as s where s.principal_id = 'a/b' and t.principal_id in ('a', 'a%2Fb')`,
  )
  for (const request of requests.slice(1)) {
    await expect(idempotency.begin(request)).rejects.toThrow(KeyringError)
  }
})

test('nothing begins while its answer could not be sealed, and the key stays free', async () => {
  const away = () => Promise.reject(new AppError('UNAVAILABLE', 'The key is away.'))
  const unsealed = makeIdempotency({
    inOrg: database.inOrg,
    keyring: { prepare: away, seal: away, open: away },
    newId: randomUUID,
    log: makeLog('silent'),
  })
  const request = requestOf('unsealed')
  await expect(unsealed.begin(request)).rejects.toMatchObject({ code: 'UNAVAILABLE' })
  expect(await idempotency.begin(request)).toMatchObject({ kind: 'new' })
})
