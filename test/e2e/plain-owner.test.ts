import { randomBytes } from 'node:crypto'
import { SignJWT } from 'jose'
import pg from 'pg'
import { afterEach, beforeEach, expect, inject, test } from 'vitest'
import { newSecrets, startPatchbay, type TestProcess, until } from '../fixtures/process.ts'
import { openReceiver } from '../fixtures/receiver.ts'

/** As a hosted Postgres has it: the login owns its database, and is no superuser, so row-level security is real for it too. */
let stack: AsyncDisposableStack
let admin: pg.Client
let login: string
let databaseUrl: string

beforeEach(async () => {
  stack = new AsyncDisposableStack()
  const server = new URL(inject('templateUrl'))
  server.pathname = '/postgres'
  admin = new pg.Client(server.href)
  await admin.connect()
  stack.defer(() => admin.end())
  login = `owner_${randomBytes(6).toString('hex')}`
  const password = randomBytes(12).toString('hex')
  await admin.query(`create role ${login} login password '${password}'`)
  await admin.query(`create database ${login} owner ${login}`)
  stack.defer(async () => {
    await admin.query(`drop database ${login} with (force)`)
    await admin.query(`drop role if exists patchbay_api_${login}`)
    await admin.query(`drop role ${login}`)
  })
  const url = new URL(server)
  url.username = login
  url.password = password
  url.pathname = `/${login}`
  databaseUrl = url.href
})
afterEach(() => stack.disposeAsync())

const secrets = newSecrets()

function start(): TestProcess {
  return stack.use(
    startPatchbay('both', { ...secrets, DATABASE_URL: databaseUrl, PORT: '0', LOG_LEVEL: 'info' }),
  )
}

async function urlOf(started: TestProcess): Promise<string> {
  await until('it has started', () => started.output().includes('service.started'))
  return /"url":"([^"]+)"/.exec(started.output())?.[1] ?? ''
}

/** From nothing to a webhook that has arrived. */
async function deliver(url: string): Promise<void> {
  const receiver = stack.use(await openReceiver((response) => response.end('ok')))
  const token = await new SignJWT({ isSuperadmin: true })
    .setProtectedHeader({ alg: 'HS256' })
    .setSubject('root')
    .setExpirationTime('1h')
    .sign(new TextEncoder().encode(secrets.AUTH_JWT_SECRET))
  const post = async (path: string, body: unknown) => {
    const response = await fetch(url + path, {
      method: 'POST',
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
      body: JSON.stringify(body),
    })
    const text = await response.text()
    expect([path, response.status, text]).toEqual([path, expect.toSatisfy((s) => s < 300), text])
    return JSON.parse(text)
  }
  await post('/orgs', { id: 'acme', name: 'Acme' })
  const { integration } = await post('/orgs/acme/integrations', {
    providerKey: 'generic-webhook',
    name: 'Hooks',
  })
  const hooks = `/orgs/acme/integrations/${integration.id}/webhooks`
  const { webhook } = await post(hooks, { url: `${receiver.url}/in`, eventTypes: ['*'] })
  await post('/orgs/acme/events', { type: 'a.b', data: { n: 1 } })
  await until('the event has arrived', () => receiver.requests.length === 1)
  await post(`${hooks}/${webhook.id}/test`, {})
  await until('the test has arrived', () => receiver.requests.length === 2)
  const answer = await fetch(`${url}/orgs/acme/deliveries`, {
    headers: { authorization: `Bearer ${token}` },
  })
  const { deliveries } = JSON.parse(await answer.text())
  expect(deliveries.map((row: { status: string }) => row.status)).toHaveLength(2)
}

test('a login that may make roles makes the API’s role itself, and everything works', async () => {
  await admin.query(`alter role ${login} createrole`)
  await deliver(await urlOf(start()))
  // What pg_dump begins with: it does not go on where row-level security would leave out rows.
  const owner = new pg.Client(databaseUrl)
  await owner.connect()
  await owner.query('set row_security = off')
  const { rows } = await owner.query(
    `select oid::regclass::text as name from pg_class where relnamespace = 'patchbay'::regnamespace and relkind = 'r'`,
  )
  for (const { name } of rows) await owner.query(`select * from ${name}`)
  await owner.end()
})

test('a login that may not says what an administrator must run; after that, everything works', async () => {
  const refused = start()
  expect(await refused.exited).toBe(1)
  const said = /create role "?\S+"? nologin; grant .+? to .+?;/.exec(refused.output())?.[0]
  expect([refused.output(), said]).toEqual([expect.any(String), expect.any(String)])
  await admin.query(said ?? '')
  await deliver(await urlOf(start()))
})
