import { afterAll, describe, expect, test } from 'vitest'
import { openTestApi } from '../../../test/fixtures/api.ts'
import { fanOut } from '../../outbox/relay.ts'

const api = await openTestApi()
afterAll(() => api[Symbol.asyncDispose]())
const { orgId, token } = await api.addOrgOf('me')
const path = `/orgs/${orgId}/events`

async function storedData(id: string): Promise<string> {
  const { rows } = await api.database.pool.query(
    'select data::text as data from patchbay.outbox_events where id = $1',
    [id],
  )
  return rows[0].data
}

async function allPages(list: string, member: string, as = token): Promise<string[]> {
  const ids: string[] = []
  let cursor: string | null = ''
  while (cursor !== null) {
    const query: string = cursor === '' ? '' : `&cursor=${cursor}`
    const { body } = await api.call('GET', `${list}?limit=3${query}`, { token: as })
    expect(body[member].length).toBeLessThanOrEqual(3)
    ids.push(...body[member].map(({ id }: { id: string }) => id))
    cursor = body.nextCursor
  }
  return ids
}

describe('POST events', () => {
  test('records the event and wakes the workers', async () => {
    const before = api.wakes()
    const json = {
      type: 'order.paid',
      data: { amount: 12 },
      conversationId: 'c-1',
      occurredAt: '2026-01-31T12:00:00.000+02:00',
    }
    const answer = await api.call('POST', path, { token, json })
    expect(answer.status).toBe(202)
    expect(api.wakes()).toBe(before + 1)
    const found = await api.call('GET', `${path}/${answer.body.event.id}`, { token })
    expect(found.body).toMatchObject({
      event: { ...json, orgId, occurredAt: '2026-01-31T10:00:00.000Z' },
      deliveries: [],
    })
  })

  test('checks data of a type in the catalogue, and names the member that does not fit', async () => {
    const { body } = await api.call('GET', '/event-types', { token })
    expect(body.eventTypes.length).toBeGreaterThanOrEqual(8)
    for (const { type, example, schema } of body.eventTypes) {
      const good = await api.call('POST', path, { token, json: { type, data: example } })
      expect(good.status).toBe(202)
      const [member] = schema.required
      const wrong = { ...example, [member]: [] }
      expect(await api.call('POST', path, { token, json: { type, data: wrong } })).toMatchObject({
        status: 400,
        body: { error: 'INVALID_BODY', details: [{ path: `data.${member}` }] },
      })
    }
  })

  test('keeps numbers as they were written', async () => {
    const data = '{"big":12345678901234567890,"exact":1.10,"small":0.1234567890123456789,"e":1E400}'
    const answer = await api.call('POST', path, {
      token,
      text: `{"type":"a.b", "data": ${data}}`,
      headers: { 'content-type': 'application/json' },
    })
    expect(answer.status).toBe(202)
    expect(await storedData(answer.body.event.id)).toBe(data)
  })

  test('with a key answers the second time as the first, and records one event', async () => {
    const request = {
      token,
      json: { type: 'once.only', data: { n: 1 } },
      headers: { 'idempotency-key': 'k-1' },
    }
    const first = await api.call('POST', path, request)
    const again = await api.call('POST', path, request)
    expect(first.headers.has('idempotency-replayed')).toBe(false)
    expect(again).toMatchObject({ status: 202, body: first.body })
    expect(again.headers.get('idempotency-replayed')).toBe('true')
    const { events } = (await api.call('GET', `${path}?type=once.only`, { token })).body
    expect(events).toHaveLength(1)
  })

  test('with a key that another request had is refused', async () => {
    const headers = { 'idempotency-key': 'k-2' }
    await api.call('POST', path, { token, json: { type: 'a.b', data: { n: 1 } }, headers })
    const json = { type: 'a.b', data: { n: 2 } }
    expect(await api.call('POST', path, { token, json, headers })).toMatchObject({
      status: 422,
      body: { error: 'UNPROCESSABLE' },
    })
  })

  test('that was refused leaves its key free', async () => {
    const headers = { 'idempotency-key': 'k-3' }
    const wrong = { type: 'a..b', data: {} }
    expect(await api.call('POST', path, { token, json: wrong, headers })).toMatchObject({
      status: 400,
    })
    const json = { type: 'a.b', data: {} }
    expect(await api.call('POST', path, { token, json, headers })).toMatchObject({ status: 202 })
  })

  test('with the same key at once records one event', async () => {
    const json = { type: 'race.once', data: {} }
    const headers = { 'idempotency-key': 'k-4' }
    const answers = await Promise.all(
      Array.from({ length: 8 }, () => api.call('POST', path, { token, json, headers })),
    )
    for (const { status } of answers) expect([202, 409]).toContain(status)
    const { events } = (await api.call('GET', `${path}?type=race.once`, { token })).body
    expect(events).toHaveLength(1)
  })

  test.each([' ', 'a b', 'ü', 'x'.repeat(257)])('with the key "%s" is refused', async (key) => {
    const headers = { 'idempotency-key': key }
    const json = { type: 'a.b', data: {} }
    const answer = await api.call('POST', path, { token, json, headers })
    expect(answer.status).toBe(400)
  })

  test.each([
    ['data that is an array', { data: [] }, 'data'],
    ['a type over 128 characters', { type: 'a'.repeat(129) }, 'type'],
    ['an empty conversation id', { conversationId: '' }, 'conversationId'],
    ['a time without a zone', { occurredAt: '2026-01-31T12:00:00' }, 'occurredAt'],
  ])('refuses %s', async (_, wrong, field) => {
    const json = { type: 'a.b', data: {}, ...wrong }
    expect(await api.call('POST', path, { token, json })).toMatchObject({
      status: 400,
      body: { details: [{ path: field }] },
    })
  })

  test('refuses data over 256 KiB', async () => {
    const json = { type: 'a.b', data: { filler: 'x'.repeat(262_144) } }
    expect(await api.call('POST', path, { token, json })).toMatchObject({ status: 413 })
  })
})

describe('lists', async () => {
  const pager = await api.addOrgOf('pager')
  const base = `/orgs/${pager.orgId}`
  const post = async (at: string, json: unknown) =>
    (await api.call('POST', `${base}${at}`, { token: pager.token, json })).body
  const { integration } = await post('/integrations', { providerKey: 'generic-webhook', name: 'H' })
  const subscription = { url: 'https://hooks.example.com/', eventTypes: ['*'] }
  const { webhook } = await post(`/integrations/${integration.id}/webhooks`, subscription)
  const eventIds: string[] = []
  for (let n = 0; n < 8; n += 1) {
    eventIds.unshift((await post('/events', { type: 'a.b', data: { n } })).event.id)
  }
  await fanOut(api.database.pool, 100)

  test('show every event once, newest first, page by page', async () => {
    expect(await allPages(`${base}/events`, 'events', pager.token)).toEqual(eventIds)
  })

  test('show every delivery once, newest first, page by page', async () => {
    const ids = await allPages(`${base}/deliveries`, 'deliveries', pager.token)
    expect(ids).toHaveLength(8)
    expect(ids).toEqual(ids.toSorted().toReversed())
    expect(new Set(ids).size).toBe(8)
  })

  test('of deliveries are empty for the subscription, integration and event of another org', async () => {
    for (const query of [
      `webhookId=${webhook.id}`,
      `integrationId=${integration.id}`,
      `eventId=${eventIds[0]}`,
    ]) {
      const { status, body } = await api.call('GET', `/orgs/${orgId}/deliveries?${query}`, {
        token,
      })
      expect({ status, body }).toEqual({ status: 200, body: { deliveries: [], nextCursor: null } })
    }
  })

  test.each([
    'events?type=a..b',
    'events?since=yesterday',
    'deliveries?status=lost',
    'deliveries?webhookId=1',
    'deliveries?limit=0',
    'events?cursor=abc',
  ])('refuse %s with the name of what is wrong', async (query) => {
    const answer = await api.call('GET', `${base}/${query}`, { token: pager.token })
    const name = query.split('?')[1]?.split('=')[0]
    expect(answer).toMatchObject({
      status: 400,
      body: { error: 'INVALID_QUERY', details: [{ path: name }] },
    })
  })

  test('a delivery that is owed is canceled when asked for, explained, and not sent again', async () => {
    const { deliveries } = (await api.call('GET', `${base}/deliveries`, { token: pager.token }))
      .body
    const [{ id, eventId }] = deliveries
    const at = `${base}/deliveries/${id}`
    const explain = `${base}/events/${eventId}/explain?webhookId=${webhook.id}`
    expect((await api.call('GET', explain, { token: pager.token })).body.verdict).toBe('owed')
    for (let n = 0; n < 2; n += 1) {
      expect(await api.call('POST', `${at}/cancel`, { token: pager.token })).toMatchObject({
        status: 200,
        body: { delivery: { id, status: 'canceled', waitsFor: null, hasBody: true } },
      })
    }
    expect((await api.call('GET', explain, { token: pager.token })).body).toMatchObject({
      verdict: 'canceled',
      deliveryId: id,
    })
    expect(await api.call('POST', `${at}/retry`, { token: pager.token })).toMatchObject({
      status: 409,
      body: { error: 'CONFLICT', details: [{ path: 'deliveryId' }] },
    })
    const nobody = await api.call('GET', `${base}/events/${eventId}/explain`, {
      token: pager.token,
    })
    expect(nobody).toMatchObject({ status: 400, body: { details: [{ path: 'webhookId' }] } })
  })

  test('a delivery that is owed is sent again at once when asked for', async () => {
    const { deliveries } = (
      await api.call('GET', `${base}/deliveries?status=owed`, { token: pager.token })
    ).body
    const at = `${base}/deliveries/${deliveries[0].id}`
    const answer = await api.call('POST', `${at}/retry`, { token: pager.token })
    expect(answer).toMatchObject({
      status: 202,
      body: { delivery: { id: deliveries[0].id, status: 'owed', webhookId: webhook.id } },
    })
    expect((await api.call('GET', at, { token: pager.token })).body).toMatchObject({
      event: { type: 'a.b' },
      attempts: [],
    })
  })
})

test('nothing of all this broke inside', () => {
  expect(api.broken).toEqual([])
})
