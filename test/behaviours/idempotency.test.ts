import { afterAll, expect, test } from 'vitest'
import { emit } from '../../src/index.ts'
import { openReceiver } from '../fixtures/receiver.ts'
import { openStory, type StoryOrg } from './story.ts'

const stack = new AsyncDisposableStack()
const story = stack.use(await openStory())
afterAll(() => stack.disposeAsync())
const receiver = stack.use(await openReceiver())

async function countOf(table: 'outbox_events' | 'org_integrations', org: StoryOrg) {
  const { rows } = await story.pool.query(
    `select count(*)::int as count from patchbay.${table} where org_id = $1`,
    [org.id],
  )
  return rows[0].count
}

test('25. the same key returns the id of the first event, and there is one delivery', async () => {
  const org = await story.addOrg()
  await org.subscribe(`${receiver.url}/25`)
  const event = { orgId: org.id, type: 'story.told', data: { n: 1 }, idempotencyKey: 'k-25' }
  const first = await emit(story.pool, event)
  const others = await Promise.all(
    [1, 2, 3].map((n) => emit(story.pool, { ...event, data: { n } })),
  )
  expect(new Set([first, ...others]).size).toBe(1)
  expect(await org.ended(first)).toMatchObject({ status: 'delivered' })
  expect(await countOf('outbox_events', org)).toBe(1)
  // Whatever else there were would have gone before an event that comes after it.
  const next = await org.emit()
  await org.ended(next)
  const arrived = receiver.requests.filter(({ url }) => url === '/25')
  expect(arrived.map(({ headers }) => headers['webhook-id'])).toEqual([first, next])
})

test('25. a key whose first transaction rolls back is free, and who waited for it emits', async () => {
  const org = await story.addOrg()
  await org.subscribe(`${receiver.url}/25-race`)
  const event = { orgId: org.id, type: 'story.told', data: {}, idempotencyKey: 'k-race' }
  const loser = await story.pool.connect()
  await loser.query('begin')
  const lost = await emit(loser, event)
  const waiting = emit(story.pool, event)
  await loser.query('rollback')
  loser.release()
  const won = await waiting
  expect(won).not.toBe(lost)
  expect(await org.ended(won)).toMatchObject({ status: 'delivered' })
  expect(await countOf('outbox_events', org)).toBe(1)
})

test('26. `Idempotency-Key` replays the first answer, concurrent twins make one row, another request is refused', async () => {
  const org = await story.addOrg()
  const install = (name: string, key: string) =>
    story.call('POST', `${org.path}/integrations`, {
      token: org.token,
      json: { providerKey: 'generic-webhook', name },
      headers: { 'idempotency-key': key },
    })
  const before = await countOf('org_integrations', org)
  const first = await install('Once', 'k-26')
  const again = await install('Once', 'k-26')
  expect(first.headers.has('idempotency-replayed')).toBe(false)
  expect(again).toMatchObject({ status: 201, text: first.text })
  expect(again.headers.get('idempotency-replayed')).toBe('true')
  expect(await countOf('org_integrations', org)).toBe(before + 1)

  const twins = await Promise.all(Array.from({ length: 6 }, () => install('Twin', 'k-twin')))
  for (const { status } of twins) expect([201, 409]).toContain(status)
  expect(twins.some(({ status }) => status === 201)).toBe(true)
  expect(await countOf('org_integrations', org)).toBe(before + 2)
  expect(await install('Other', 'k-26')).toMatchObject({
    status: 422,
    body: { error: 'UNPROCESSABLE' },
  })
})

test('27. data over 256 KiB is a 413; data that is no object, or a type of bad grammar, is a 400', async () => {
  const org = await story.addOrg()
  const post = (event: object) => org.call('POST', `${org.path}/events`, event)
  const type = 'story.told'
  expect(await post({ type, data: { filler: 'x'.repeat(262_144) } })).toMatchObject({
    status: 413,
    body: { error: 'PAYLOAD_TOO_LARGE', details: [{ path: 'data' }] },
  })
  for (const [wrong, path] of [
    [{ type, data: [] }, 'data'],
    [{ type, data: 'text' }, 'data'],
    [{ type, data: null }, 'data'],
    [{ type: 'story..told', data: {} }, 'type'],
    [{ type: 'story told', data: {} }, 'type'],
    [{ type: 'x'.repeat(129), data: {} }, 'type'],
  ] as const) {
    expect(await post(wrong)).toMatchObject({
      status: 400,
      body: { error: 'INVALID_BODY', details: [{ path }] },
    })
  }
  expect(await countOf('outbox_events', org)).toBe(0)
  expect((await post({ type, data: { filler: 'x'.repeat(262_144 - 13) } })).status).toBe(202)
})

test('27. a body over 1 MiB is a 413, and the requests that follow it are answered', async () => {
  const org = await story.addOrg()
  const post = (length: number) =>
    org.call('POST', `${org.path}/events`, {
      type: 'story.told',
      data: { filler: 'x'.repeat(length) },
    })
  for (const length of [1_100_000, 5_000_000]) {
    expect(await post(length)).toMatchObject({ status: 413, body: { error: 'PAYLOAD_TOO_LARGE' } })
    for (let n = 0; n < 3; n += 1) expect((await post(10)).status).toBe(202)
  }
})

test('28. an event that does not fit the schema of its type is refused before any row is written', async () => {
  const org = await story.addOrg()
  const wrong = { type: 'tool.exec.success', data: { tool: 'clock.now', durationMs: 'long' } }
  const { status, body } = await org.call('POST', `${org.path}/events`, wrong)
  expect(status).toBe(400)
  expect(body.details[0].path).toMatch(/^data\./)
  const host = await story.pool.connect()
  await host.query('begin')
  await expect(emit(host, { orgId: org.id, ...wrong })).rejects.toMatchObject({
    code: 'INVALID_BODY',
  })
  // The host's transaction is as good as before.
  await host.query('select 1')
  await host.query('commit')
  host.release()
  expect(await countOf('outbox_events', org)).toBe(0)
})
