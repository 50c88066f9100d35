import { randomBytes, randomUUID } from 'node:crypto'
import { mkdtemp, readdir, readFile, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { Secret } from '../../src/core/secret.ts'
import { makeDataKeyStore } from '../../src/db/data-keys.ts'
import { openKeyring } from '../../src/security/keyring.ts'
import { makeLocalWrapper } from '../../src/security/local-wrapper.ts'
import { openTestDatabase, type TestDatabase } from '../fixtures/database.ts'
import {
  newSecrets,
  startPatchbay,
  startScript,
  type TestProcess,
  until,
} from '../fixtures/process.ts'
import { openReceiver } from '../fixtures/receiver.ts'
import { subscribe } from '../fixtures/subscription.ts'
import { openVault } from '../fixtures/vault.ts'

let stack: AsyncDisposableStack
let database: TestDatabase
beforeEach(async () => {
  stack = new AsyncDisposableStack()
  database = stack.use(await openTestDatabase())
})
afterEach(() => stack.disposeAsync())

const newKey = () => randomBytes(32).toString('base64')
const idOf = (key: string) => makeLocalWrapper('MASTER_KEY', () => [new Secret(key)]).currentId()
const isUp = (started: TestProcess) => () => started.output().includes('service.started')

async function stop(started: TestProcess): Promise<void> {
  started.kill('SIGTERM')
  expect(await started.exited).toBe(0)
}

/** Runs a command to its end. */
async function run(args: readonly string[], env: Record<string, string>) {
  const script = stack.use(startScript('keys-rotate', args, env))
  return { code: await script.exited, output: script.output() }
}

/** Orgs that have nothing but a data key. */
async function addDataKeys(masterKey: string, count: number): Promise<void> {
  const wrapper = makeLocalWrapper('MASTER_KEY', () => [new Secret(masterKey)])
  const store = makeDataKeyStore(database.pool)
  const keyring = await openKeyring({ wrapper, store, newId: randomUUID })
  const place = { table: 't', column: 'c', rowId: 'r' }
  await Promise.all(
    Array.from({ length: count }, (_, i) => keyring.seal({ ...place, orgId: `org-${i}` }, 'x')),
  )
}

test('keys:rotate is killed and started again while a worker delivers; then the old key is refused', async () => {
  const secrets = newSecrets()
  const oldKey = secrets.MASTER_KEY
  const freshKey = newKey()
  const receiver = stack.use(await openReceiver())
  const orgId = await database.addOrg()
  const input = { url: `${receiver.url}/hook`, eventTypes: ['*'] }
  await subscribe(database, oldKey, orgId, input)
  await addDataKeys(oldKey, 3000)
  const env = {
    ...secrets,
    DATABASE_URL: database.url,
    MASTER_KEY: freshKey,
    MASTER_KEY_PREVIOUS: oldKey,
  }
  const worker = stack.use(startPatchbay('worker', env))
  await until('the worker is up', isUp(worker))
  const emit = (n: number) =>
    database.pool.query(`select patchbay.emit_event($1, 'a.b', json_build_object('n', $2::int))`, [
      orgId,
      n,
    ])

  const first = stack.use(startScript('keys-rotate', [], env))
  await until('it has begun', () => first.output().includes('re-wrapped …'))
  first.kill('SIGKILL')
  await first.exited
  const { rows } = await database.pool.query(
    'select master_key_id as id, count(*)::int from patchbay.data_keys group by 1',
  )
  expect(rows.map(({ id }) => id).toSorted()).toEqual(
    [await idOf(oldKey), await idOf(freshKey)].toSorted(),
  )
  await emit(1)
  const second = await run([], env)
  expect(second.output).toContain('0 data keys remain on an older key.')
  expect(second.output).toContain('MASTER_KEY_PREVIOUS may be removed now.')
  expect(second.code).toBe(0)
  await emit(2)
  await until('both have arrived', () => receiver.requests.length === 2)
  await stop(worker)

  const onlyNew = stack.use(
    startPatchbay('worker', { ...secrets, DATABASE_URL: database.url, MASTER_KEY: freshKey }),
  )
  await until('it starts without the old key', isUp(onlyNew))
  await stop(onlyNew)
  const onlyOld = stack.use(
    startPatchbay('both', { ...secrets, DATABASE_URL: database.url, PORT: '0' }),
  )
  expect(await onlyOld.exited).toBe(1)
  expect(onlyOld.output()).toContain('MASTER_KEY is not the key this database was sealed with')
  expect(onlyOld.output()).toContain(await idOf(oldKey))
  expect(onlyOld.output()).toContain(await idOf(freshKey))
  expect(onlyOld.output()).not.toContain('service.started')
  for (const { output } of [second, { output: onlyOld.output() }]) {
    for (const key of [oldKey, freshKey]) expect(output).not.toContain(key)
  }
})

test('keys:rotate of an embedded installation makes a new key while it runs', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'patchbay-keys-'))
  stack.defer(() => rm(dir, { recursive: true, force: true }))
  const env = { PATCHBAY_DIR: dir, PORT: '0' }
  const first = stack.use(startPatchbay('both', env))
  await until('it is up', isUp(first))
  const file = join(dir, 'master-key')
  const before = await readFile(file, 'utf8')
  const headers = {
    authorization: `Bearer ${await token(env)}`,
    'content-type': 'application/json',
  }
  type Json = ReturnType<typeof JSON.parse>
  const call = async (
    started: TestProcess,
    method: string,
    path: string,
    json?: unknown,
  ): Promise<Json> => {
    const url = /"url":"([^"]+)"/.exec(started.output())?.[1] ?? ''
    const body = json === undefined ? {} : { body: JSON.stringify(json) }
    const response = await fetch(url + path, { method, headers, ...body })
    expect(response.ok).toBe(true)
    return response.json()
  }
  const addWebhook = async (orgId: string) => {
    await call(first, 'POST', '/orgs', { id: orgId, name: orgId })
    const org = `/orgs/${orgId}/integrations`
    const installed = { providerKey: 'generic-webhook', name: 'Hooks' }
    const { integration } = await call(first, 'POST', org, installed)
    const hooks = `${org}/${integration.id}/webhooks`
    const { webhook } = await call(first, 'POST', hooks, {
      url: 'https://hooks.example.com/',
      eventTypes: ['*'],
      headers: { 'X-Tag': orgId },
    })
    return { path: `${hooks}/${webhook.id}`, orgId }
  }
  const hooks = [await addWebhook('before')]

  const rotated = await run([], env)
  expect(rotated.output).toContain('0 data keys remain on an older key. The old key was deleted.')
  expect(rotated.code).toBe(0)
  const after = await readFile(file, 'utf8')
  expect(after).not.toBe(before)
  expect((await stat(file)).mode & 0o777).toBe(0o600)
  expect((await readdir(dir)).filter((name) => name.startsWith('master-key'))).toEqual([
    'master-key',
  ])
  hooks.push(await addWebhook('after'))
  const renewed = await run(['--data-keys', '--grace', '0'], env)
  expect(renewed.output).toMatch(/Deleted 3 old data keys; 0 remain\./)
  expect(renewed.code).toBe(0)
  await stop(first)

  const second = stack.use(startPatchbay('both', env))
  await until('it is up again', isUp(second))
  for (const { path, orgId } of hooks) {
    const { webhook } = await call(second, 'GET', path)
    expect(webhook.headers).toEqual({ 'X-Tag': orgId })
  }
  await stop(second)
})

async function token(env: Record<string, string>): Promise<string> {
  const script = stack.use(startScript('token', ['--user', 'root', '--superadmin'], env))
  expect(await script.exited).toBe(0)
  return script.output().trim()
}

test('a Vault that is sealed is waited for; while it is sealed later, deliveries wait and nobody pays for it', async () => {
  const vault = stack.use(await openVault())
  vault.addKey('patchbay')
  vault.misbehave = 'sealed'
  const { MASTER_KEY: masterKey, ...secrets } = newSecrets()
  const receiver = stack.use(await openReceiver())
  const orgId = await database.addOrg()
  const input = { url: `${receiver.url}/hook`, eventTypes: ['*'] }
  await subscribe(database, masterKey, orgId, input)
  const env = {
    ...secrets,
    DATABASE_URL: database.url,
    KMS_VAULT_KEY: 'patchbay',
    KMS_VAULT_URL: vault.url,
    KMS_VAULT_TOKEN: vault.token,
  }
  const both = { ...env, MASTER_KEY_PREVIOUS: masterKey }
  const early = stack.use(startPatchbay('worker', both))
  await until('it waits', () => early.output().includes('master_key.waiting'))
  expect(early.output()).toContain('Vault cannot be used: it answered 503, Vault is sealed')
  vault.misbehave = null
  await until('it is up', isUp(early))
  await stop(early)
  expect((await run([], both)).code).toBe(0)

  const worker = stack.use(startPatchbay('worker', env))
  await until('it is up', isUp(worker))
  vault.misbehave = 'sealed'
  await database.pool.query(`select patchbay.emit_event($1, 'a.b', '{}')`, [orgId])
  const attempts = async () => {
    const { rows } = await database.pool.query(
      'select attempt, outcome, error from patchbay.webhook_delivery_log order by created_at',
    )
    return rows
  }
  await until('it could not be opened', async () => (await attempts()).length > 0)
  expect((await attempts())[0]).toEqual({
    attempt: 1,
    outcome: 'interrupted',
    error: 'the subscription could not be opened at that moment',
  })
  const { rows: health } = await database.pool.query(
    'select consecutive_failures, open_until from patchbay.subscription_health',
  )
  expect(health).toEqual([{ consecutive_failures: 0, open_until: null }])
  vault.misbehave = null
  await until('it has arrived', async () => {
    // Not to wait out the ten seconds, nor those after a look that came too early.
    await database.pool.query(
      'update patchbay.delivery_queue set due_at = now() where not ready and lease_token is null',
    )
    return receiver.requests.length === 1
  })
  await until('it is recorded', async () => (await attempts()).at(-1)?.outcome === 'delivered')
  expect((await attempts()).at(-1)).toMatchObject({ attempt: 1 })
  expect(worker.output()).toContain('master_key.unavailable')
  expect(worker.output()).toContain('master_key.available')
  expect(worker.output()).not.toContain('subscription.broken')
  expect(worker.output()).not.toContain(vault.token)
  await stop(worker)

  const wrong = { ...env, KMS_VAULT_TOKEN: 'hvs.not-the-token' }
  const denied = stack.use(startPatchbay('both', { ...wrong, PORT: '0' }))
  expect(await denied.exited).toBe(1)
  expect(denied.output()).toContain('it answered 403, permission denied. See docs/keys.md.')
  expect(denied.output()).not.toContain('hvs.')

  const { KMS_VAULT_KEY: _, ...keyless } = wrong
  const leaving = {
    ...keyless,
    MASTER_KEY: newKey(),
    MASTER_KEY_PREVIOUS: 'vault:transit/patchbay',
  }
  const deniedPrevious = stack.use(startPatchbay('both', { ...leaving, PORT: '0' }))
  expect(await deniedPrevious.exited).toBe(1)
  expect(deniedPrevious.output()).toContain('it answered 403, permission denied. See docs/keys.md.')
})
