import { mkdtemp, rm } from 'node:fs/promises'
import { connect, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { openTestDatabase } from '../fixtures/database.ts'
import { newSecrets, startPatchbay, type TestProcess, until } from '../fixtures/process.ts'
import { openReceiver } from '../fixtures/receiver.ts'
import { subscribe } from '../fixtures/subscription.ts'

let stack: AsyncDisposableStack
let dir: string

beforeEach(async () => {
  stack = new AsyncDisposableStack()
  dir = await mkdtemp(join(tmpdir(), 'patchbay-start-'))
  stack.defer(() => rm(dir, { recursive: true, force: true }))
})
afterEach(() => stack.disposeAsync())

async function urlOf(started: TestProcess): Promise<string> {
  await until('it has started', () => started.output().includes('service.started'))
  return /"url":"([^"]+)"/.exec(started.output())?.[1] ?? ''
}

async function takePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  stack.defer(() => new Promise<void>((done) => void server.close(() => done())))
  const address = server.address()
  return typeof address === 'object' && address !== null ? address.port : 0
}

test('wrong settings stop the process with one line for each, naming the setting', async () => {
  const started = stack.use(
    startPatchbay('both', {
      DATABASE_URL: 'mysql://x',
      PORT: 'eighty',
      MASTER_KEY: 'short',
      RETRY_SCHEDULE: '5,-1',
      EGRESS_HTTP: 'maybe',
    }),
  )
  expect(await started.exited).toBe(1)
  const lines = started.output().trim().split('\n')
  expect(lines.map((line) => line.split(':')[0]).sort()).toEqual([
    'DATABASE_URL',
    'EGRESS_HTTP',
    'MASTER_KEY',
    'PORT',
    'RETRY_SCHEDULE',
  ])
})

test('a database that is not there is waited for: alive, 503 in its own form; ready when it comes', async () => {
  await using database = await openTestDatabase()
  const databasePort = await freePort()
  const later = new URL(database.url)
  later.port = String(databasePort)
  const httpPort = await freePort()
  const started = stack.use(
    startPatchbay('both', { ...newSecrets(), DATABASE_URL: later.href, PORT: String(httpPort) }),
  )
  const url = `http://127.0.0.1:${httpPort}`
  const isOk = (path: string) =>
    fetch(url + path).then(
      (response) => response.ok,
      () => false,
    )
  await until('it listens', () => isOk('/healthz'))
  await until('it says what it waits for', () => started.output().includes('database.waiting'))
  expect(started.output()).toContain('the database cannot be reached (ECONNREFUSED)')
  expect((await fetch(`${url}/readyz`)).status).toBe(503)
  const answer = await fetch(`${url}/orgs`)
  expect(answer.status).toBe(503)
  expect(await answer.json()).toMatchObject({ error: 'UNAVAILABLE', status: 503 })

  await forward(databasePort, Number(new URL(database.url).port))
  await until('it is ready', () => isOk('/readyz'))
  started.kill('SIGTERM')
  expect(await started.exited).toBe(0)
})

test.each([
  ['SIGUSR2', 'unhandledRejection'],
  ['SIGWINCH', 'uncaughtException'],
] as const)(
  'what nobody caught (%s: %s) is logged once, without its members, and ends the process',
  async (signal, origin) => {
    const started = stack.use(
      startPatchbay('both', {
        ...newSecrets(),
        DATABASE_URL: 'postgres://127.0.0.1:1/x',
        PORT: '0',
        NODE_OPTIONS: `--import=${join(import.meta.dirname, '../fixtures/break-on-signal.ts')}`,
      }),
    )
    await until('it waits', () => started.output().includes('database.waiting'))
    started.kill(signal)
    expect(await started.exited).toBe(1)
    const lines = started.output().trim().split('\n')
    const fatal = lines.filter((line) => line.includes('"level":"fatal"'))
    expect(fatal.map((line) => JSON.parse(line))).toMatchObject([
      { msg: 'process.broke', origin, err: { message: 'broken on purpose' } },
    ])
    expect(lines.at(-1)).toBe(fatal[0])
    expect(started.output()).not.toContain('hunter2')
  },
)

test('a port that is taken is said in one line', async () => {
  const port = await takePort()
  const started = stack.use(
    startPatchbay('api', {
      ...newSecrets(),
      DATABASE_URL: 'postgres://127.0.0.1:1/x',
      PORT: String(port),
    }),
  )
  expect(await started.exited).toBe(1)
  expect(started.output()).toMatch(new RegExp(`^PORT: 127.0.0.1:${port} is taken`))
})

test('the embedded database survives a restart, and a kill that leaves its server behind', async () => {
  const env = { PATCHBAY_DIR: dir, PORT: '0' }
  const first = stack.use(startPatchbay('both', env))
  const url = await urlOf(first)
  expect((await fetch(`${url}/readyz`)).status).toBe(200)
  // Its directory is taken meanwhile, and the message says by whom and what to do.
  const rival = stack.use(startPatchbay('both', env))
  expect(await rival.exited).toBe(1)
  expect(rival.output()).toContain(`is in use by process ${first.pid}`)
  first.kill('SIGKILL')
  await first.exited

  const second = stack.use(startPatchbay('both', env))
  expect((await fetch(`${await urlOf(second)}/readyz`)).status).toBe(200)
  expect(second.output()).not.toContain('database.migrated')
  second.kill('SIGTERM')
  expect(await second.exited).toBe(0)
})

test('a worker tells its metrics on a port of their own, from before the database is there', async () => {
  await using database = await openTestDatabase()
  const databasePort = await freePort()
  const later = new URL(database.url)
  later.port = String(databasePort)
  const port = await freePort()
  const env = { ...newSecrets(), DATABASE_URL: later.href, METRICS_PORT: String(port) }
  const started = stack.use(startPatchbay('worker', env))
  const url = `http://127.0.0.1:${port}`
  const metrics = () =>
    fetch(`${url}/metrics`).then(
      (response) => response.text(),
      () => '',
    )
  await until('it says that it waits', async () =>
    (await metrics()).includes('\npatchbay_database_up 0\n'),
  )
  expect((await fetch(`${url}/healthz`)).status).toBe(200)
  expect((await fetch(`${url}/orgs`)).status).toBe(404)
  await forward(databasePort, Number(new URL(database.url).port))
  await until('it has read the database', async () =>
    (await metrics()).includes('\npatchbay_database_up 1\n'),
  )
  expect(started.output()).toContain(`"metrics_url":"${url}/metrics"`)

  const orgId = await database.addOrg()
  const receiver = stack.use(await openReceiver((response) => response.end('ok')))
  const input = { url: `${receiver.url}/hook`, eventTypes: ['*'] }
  await subscribe(database, env.MASTER_KEY, orgId, input)
  await database.pool.query(`select patchbay.emit_event($1, 'a.b', '{}')`, [orgId])
  await until('it has counted what it delivered', async () =>
    (await metrics()).includes(
      '\npatchbay_delivery_attempt_duration_seconds_count{outcome="delivered"} 1\n',
    ),
  )

  const rival = stack.use(startPatchbay('worker', env))
  expect(await rival.exited).toBe(1)
  expect(rival.output()).toMatch(new RegExp(`^METRICS_PORT: 127.0.0.1:${port} is taken`))
  started.kill('SIGTERM')
  expect(await started.exited).toBe(0)
})

test('another master key than the one the database was sealed with is found at the start', async () => {
  await using database = await openTestDatabase()
  const secrets = newSecrets()
  const first = stack.use(startPatchbay('worker', { ...secrets, DATABASE_URL: database.url }))
  await until('it has started', () => first.output().includes('service.started'))
  first.kill('SIGTERM')
  await first.exited
  const wrong = { ...newSecrets(), DATABASE_URL: database.url }
  const second = stack.use(startPatchbay('worker', wrong))
  expect(await second.exited).toBe(1)
  expect(second.output()).toMatch(/^MASTER_KEY is not the key/)
})

/** Lets a port lead to another one, as a database that comes up does. */
async function forward(from: number, to: number): Promise<void> {
  const server = createServer((socket) => {
    const onward = connect(to, '127.0.0.1')
    socket.pipe(onward).pipe(socket)
    socket.on('error', () => onward.destroy())
    onward.on('error', () => socket.destroy())
  })
  await new Promise<void>((done) => server.listen(from, '127.0.0.1', done))
  stack.defer(() => void server.close())
}

async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  const address = server.address()
  await new Promise((done) => server.close(done))
  return typeof address === 'object' && address !== null ? address.port : 0
}
