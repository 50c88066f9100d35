import { spawn } from 'node:child_process'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { emit } from '../../src/index.ts'
import { startPatchbay, type TestProcess, until } from '../fixtures/process.ts'
import { openReceiver, type ReceivedRequest } from '../fixtures/receiver.ts'
import { openStory } from './story.ts'

const LEASE_MS = 4000
const stack = new AsyncDisposableStack()
const story = stack.use(await openStory({ isWorker: false }))
afterAll(() => stack.disposeAsync())

async function startWorker(env: Readonly<Record<string, string>> = {}): Promise<TestProcess> {
  const worker = startPatchbay('worker', { ...story.env, LOG_LEVEL: 'info', ...env })
  await until('the worker is up', () => worker.output().includes('service.started'))
  return worker
}

const countIn = (worker: TestProcess, event: string) => worker.output().split(event).length - 1
const idsOf = (requests: readonly ReceivedRequest[]) =>
  requests.map(({ headers }) => headers['webhook-id'])

async function isSettled(): Promise<boolean> {
  const { rows } = await story.pool.query(
    'select not exists (select from patchbay.outbox_pending) and not exists (select from patchbay.delivery_queue) as ok',
  )
  return rows[0].ok
}

test('48. two workers at the same lanes send each delivery once', async () => {
  const org = await story.addOrg()
  // Slow enough, and the workers narrow enough, that one of them cannot take everything.
  const receiver = stack.use(
    await openReceiver((response) => void setTimeout(() => response.end(), 20)),
  )
  for (const path of ['/a', '/b', '/c']) await org.subscribe(receiver.url + path)
  const narrow = { WORKER_CONCURRENCY: '16' }
  const starting = await Promise.all([startWorker(narrow), startWorker(narrow)])
  await using workers = new AsyncDisposableStack()
  for (const worker of starting) workers.use(worker)
  await story.pool.query(
    `select patchbay.emit_event($1, 'story.told', '{}') from generate_series(1, 200)`,
    [org.id],
  )
  await until('all is settled', isSettled)
  const sent = receiver.requests.map(({ url, headers }) => `${url} ${headers['webhook-id']}`)
  expect(sent).toHaveLength(600)
  expect(new Set(sent).size).toBe(600)
  for (const worker of starting) {
    expect(countIn(worker, 'delivery.attempted')).toBeGreaterThan(0)
    expect(countIn(worker, 'delivery.lost')).toBe(0)
  }
})

test('49. what a killed worker was sending is sent by another one when the lease is over, with one duplicate at most', async () => {
  const org = await story.addOrg()
  const arrivedAt: number[] = []
  const receiver = stack.use(
    await openReceiver((response) => {
      arrivedAt.push(performance.now())
      if (receiver.requests.length > 1) response.end()
    }),
  )
  await org.subscribe(receiver.url)
  const env = { LEASE_SECONDS: String(LEASE_MS / 1000) }
  await using first = await startWorker(env)
  const eventId = await org.emit()
  await until('it is in the middle of its request', () => receiver.requests.length === 1)
  first.kill('SIGKILL')
  await first.exited
  await using _second = await startWorker(env)
  const { id, status, attempts } = await org.ended(eventId)
  expect({ status, attempts }).toEqual({ status: 'delivered', attempts: 1 })
  expect((await org.attempts(id)).map(({ outcome }) => outcome)).toEqual([
    'interrupted',
    'delivered',
  ])
  const [once, again] = receiver.requests
  expect(receiver.requests).toHaveLength(2)
  expect(again?.body).toBe(once?.body)
  expect(idsOf(receiver.requests)).toEqual([eventId, eventId])
  // The lease began a moment before the first request.
  const waitedMs = (arrivedAt[1] ?? 0) - (arrivedAt[0] ?? 0)
  expect(waitedMs).toBeGreaterThan(LEASE_MS - 500)
  expect(waitedMs).toBeLessThan(LEASE_MS + 6000)
})

test('50. SIGTERM lets what is in flight end, and its outcome is recorded', async () => {
  const org = await story.addOrg()
  let release = () => {}
  const receiver = stack.use(
    await openReceiver((response) => {
      release = () => response.end('at last')
    }),
  )
  await org.subscribe(receiver.url)
  await using worker = await startWorker()
  const eventId = await org.emit()
  await until('it is in flight', () => receiver.requests.length === 1)
  worker.kill('SIGTERM')
  await until('it is stopping', () => worker.output().includes('service.stopping'))
  const after = await org.emit()
  const releasedAt = performance.now()
  release()
  expect(await worker.exited).toBe(0)
  // What is emitted meanwhile wakes the workers, and must not keep this one.
  expect(performance.now() - releasedAt).toBeLessThan(4000)
  const { id, status } = await org.ended(eventId)
  expect(status).toBe('delivered')
  expect(await org.attempts(id)).toMatchObject([
    { attempt: 1, outcome: 'delivered', responseSnippet: 'at last' },
  ])
  expect(idsOf(receiver.requests)).toEqual([eventId])
  // What came after the signal is for the next worker.
  await using _next = await startWorker()
  await until('that one has arrived', () => receiver.requests.length === 2)
  expect(idsOf(receiver.requests)).toEqual([eventId, after])
  release()
  await org.ended(after)
})

/** A host that writes an event in a transaction, says so, and never commits. */
const HOST = `
  import pg from 'pg'
  const client = new pg.Client(process.env.DATABASE_URL)
  await client.connect()
  await client.query('begin')
  await client.query("select patchbay.emit_event($1, 'story.told', '{}')", [process.env.ORG_ID])
  process.stdout.write('written')
  setInterval(() => undefined, 1000)`

async function killHostBeforeCommit(orgId: string): Promise<void> {
  const host = spawn(process.execPath, ['--input-type=module', '--eval', HOST], {
    cwd: join(import.meta.dirname, '../..'),
    env: { DATABASE_URL: story.env.DATABASE_URL, ORG_ID: orgId },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const exited = new Promise((done) => host.once('exit', done))
  try {
    let output = ''
    host.stdout.on('data', (chunk: Buffer) => {
      output += chunk.toString()
    })
    await until('the host has written', () => output === 'written')
  } finally {
    host.kill('SIGKILL')
    await exited
  }
}

test('53. a rolled back event is never sent, a committed one exactly once, and one whose host is killed before the commit never', async () => {
  const org = await story.addOrg()
  const receiver = stack.use(await openReceiver())
  await org.subscribe(receiver.url)
  await using _worker = await startWorker()
  const host = await story.pool.connect()
  const event = { orgId: org.id, type: 'story.told', data: {} }
  await host.query('begin')
  const rolledBack = await emit(host, event)
  await host.query('rollback')
  await host.query('begin')
  const committed = await emit(host, event)
  await host.query('commit')
  host.release()
  await killHostBeforeCommit(org.id)
  expect(await org.ended(committed)).toMatchObject({ status: 'delivered' })
  // Whatever else there were would be fanned out before an event that comes after it.
  const last = await org.emit()
  await org.ended(last)
  await until('all is settled', isSettled)
  expect(idsOf(receiver.requests)).toEqual([committed, last])
  const { status } = await org.call('GET', `${org.path}/events/${rolledBack}`)
  expect(status).toBe(404)
  expect((await org.call('GET', `${org.path}/events`)).body.events).toHaveLength(2)
})
