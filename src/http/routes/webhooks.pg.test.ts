import { afterAll, describe, expect, test, vi } from 'vitest'
import { openTestApi } from '../../../test/fixtures/api.ts'
import { addDeliveries } from '../../../test/fixtures/lanes.ts'
import { holdLanes } from '../../delivery/hold.ts'
import { promoteDue, tendLanes } from '../../delivery/tend.ts'

const api = await openTestApi()
afterAll(() => api[Symbol.asyncDispose]())
const { orgId, token } = await api.addOrgOf('me')
const path = `${await addIntegration('generic-webhook')}/webhooks`
const good = { url: 'https://hooks.example.com/in', eventTypes: ['chat.*'] }

async function addIntegration(providerKey: string): Promise<string> {
  const json = { providerKey, name: 'Hooks' }
  const { body } = await api.call('POST', `/orgs/${orgId}/integrations`, { token, json })
  return `/orgs/${orgId}/integrations/${body.integration.id}`
}

/** Until so many sessions wait for a lock. */
async function untilWaiting(count: number): Promise<void> {
  await vi.waitFor(async () => {
    const { rows } = await api.database.pool.query(
      `select count(*)::int as waiting from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`,
    )
    expect(rows).toEqual([{ waiting: count }])
  })
}

describe('a subscription', () => {
  test('shows its secret once', async () => {
    const created = await api.call('POST', path, { token, json: good })
    expect(created.status).toBe(201)
    const { webhook, secret } = created.body
    expect(secret).toMatch(/^whsec_/)
    expect(webhook).toMatchObject({
      ...good,
      orgId,
      isActive: true,
      disabledReason: null,
      headers: {},
      rateLimit: null,
      ordering: 'none',
      content: 'thin',
      health: { state: 'healthy', consecutiveFailures: 0, lastDeliveredAt: null, owed: 0 },
    })
    const one = `${path}/${webhook.id}`
    const answers = [
      await api.call('GET', one, { token }),
      await api.call('GET', path, { token }),
      await api.call('PATCH', one, { token, json: { description: 'x' } }),
    ]
    for (const { text } of answers) expect(text).not.toContain(secret.slice(6))
    expect(answers[0]?.body).toEqual({ webhook })
  })

  test('hands no credential that was stored for one host to another', async () => {
    const headers = { Authorization: 'Bearer of-the-partner', 'X-Team': 'blue' }
    const { body } = await api.call('POST', path, { token, json: { ...good, headers } })
    const one = `${path}/${body.webhook.id}`
    const patch = (json: object) => api.call('PATCH', one, { token, json })
    const url = 'https://thief.example.org/in'
    const refusals = [{ url }, { url, headers: body.webhook.headers }]
    for (const json of refusals) {
      const refused = await patch(json)
      expect(refused.status).toBe(400)
      expect(refused.body.details).toMatchObject([{ path: 'headers.Authorization' }])
    }
    expect((await patch({ url: `${good.url}elsewhere` })).status).toBe(200)
    const again = { Authorization: 'Bearer of-another', 'X-Team': 'blue' }
    expect((await patch({ url, headers: again })).status).toBe(200)
    expect((await patch({ url: 'https://third.example.org/', headers: {} })).status).toBe(200)
  })

  test('hands it to none by two changes at once either, each of which may be', async () => {
    const headers = { Authorization: 'Bearer of-the-partner' }
    const { body } = await api.call('POST', path, { token, json: { ...good, headers } })
    const { id } = body.webhook
    const one = `${path}/${id}`
    const holder = await api.database.pool.connect()
    await holder.query('begin')
    await holder.query(
      'select from patchbay.subscription_health where subscription_id = $1 for update',
      [id],
    )
    const move = { url: 'https://thief.example.org/in', headers: {} }
    const moved = api.call('PATCH', one, { token, json: move })
    await untilWaiting(1)
    const kept = api.call('PATCH', one, { token, json: { headers: body.webhook.headers } })
    await untilWaiting(2)
    await holder.query('commit')
    holder.release()
    // What comes second is looked at again, with what the first has left.
    expect(await moved).toMatchObject({ status: 200 })
    expect(await kept).toMatchObject({ status: 400 })
    const { webhook } = (await api.call('GET', one, { token })).body
    expect(webhook).toMatchObject({ url: 'https://thief.example.org/in', headers: {} })
  })

  test('refuses a masked value where nothing is stored', async () => {
    const masked = { Authorization: '••••••••' }
    const { body } = await api.call('POST', path, { token, json: good })
    const json = { headers: masked }
    expect(await api.call('PATCH', `${path}/${body.webhook.id}`, { token, json })).toMatchObject({
      status: 400,
      body: { details: [{ path: 'headers.Authorization' }] },
    })
    expect(
      await api.call('POST', path, { token, json: { ...good, headers: masked } }),
    ).toMatchObject({ status: 400, body: { details: [{ path: 'headers.Authorization' }] } })
  })

  test('shows credentials in headers masked, and keeps them when the mask comes back', async () => {
    const headers = { Authorization: 'Bearer hidden-value', 'X-Team': 'blue' }
    const { body } = await api.call('POST', path, { token, json: { ...good, headers } })
    expect(body.webhook.headers['X-Team']).toBe('blue')
    expect(body.webhook.headers.Authorization).toMatch(/^•+$/)
    const one = `${path}/${body.webhook.id}`
    const json = { headers: { ...body.webhook.headers, 'X-Team': 'red' } }
    const patched = await api.call('PATCH', one, { token, json })
    expect(patched.body.webhook.headers).toEqual(json.headers)
    expect(patched.text).not.toContain('hidden-value')
  })

  test('is disabled by hand, says so, and is enabled again', async () => {
    const { body } = await api.call('POST', path, { token, json: good })
    const one = `${path}/${body.webhook.id}`
    const off = await api.call('PATCH', one, { token, json: { isActive: false } })
    expect(off.body.webhook).toMatchObject({
      isActive: false,
      disabledReason: expect.any(String),
      health: { state: 'disabled' },
    })
    const on = await api.call('PATCH', one, { token, json: { isActive: true } })
    expect(on.body.webhook).toMatchObject({ isActive: true, disabledReason: null })
  })

  test('is gone after its removal', async () => {
    const { body } = await api.call('POST', path, { token, json: good })
    const one = `${path}/${body.webhook.id}`
    expect(await api.call('DELETE', one, { token })).toMatchObject({
      status: 200,
      body: { ok: true },
    })
    for (const method of ['GET', 'DELETE']) {
      expect(await api.call(method, one, { token })).toMatchObject({ status: 404 })
    }
    expect(await api.call('PATCH', one, { token, json: {} })).toMatchObject({ status: 404 })
  })

  test('of Slack shows its URL masked', async () => {
    const slack = `${await addIntegration('slack')}/webhooks`
    const url = 'https://hooks.slack.com/services/T0/B0/verysecret'
    const json = { url, eventTypes: ['*'] }
    const created = await api.call('POST', slack, { token, json })
    expect(created.body.webhook.url).toBe('https://hooks.slack.com/services/…')
    expect(created.text).not.toContain('verysecret')
    const wrong = await api.call('POST', slack, { token, json: good })
    expect(wrong).toMatchObject({ status: 400, body: { details: [{ path: 'url' }] } })
  })

  test('of an integration that is gone cannot be made', async () => {
    const base = await addIntegration('generic-webhook')
    await api.call('DELETE', base, { token })
    const answer = await api.call('POST', `${base}/webhooks`, { token, json: good })
    expect(answer).toMatchObject({ status: 404, body: { error: 'NOT_FOUND' } })
  })
})

test.each([
  ['a private address', { url: 'https://10.0.0.1/' }, 'url'],
  ['the metadata service', { url: 'https://169.254.169.254/latest' }, 'url'],
  ['an internal name', { url: 'https://db.internal/' }, 'url'],
  ['a URL with a password', { url: 'https://a:b@hooks.example.com/' }, 'url'],
  ['what is no URL', { url: 'hooks' }, 'url'],
  ['an event type of wrong grammar', { eventTypes: ['chat..done'] }, 'eventTypes.0'],
  ['a star in the middle', { eventTypes: ['*', 'chat.*.done'] }, 'eventTypes.1'],
  ['no event type', { eventTypes: [] }, 'eventTypes'],
  ['a header of ours', { headers: { 'webhook-id': 'x' } }, 'headers.webhook-id'],
  ['a header that frames', { headers: { Host: 'x' } }, 'headers.Host'],
  ['a header with a line break', { headers: { 'X-A': 'a\r\nb: c' } }, 'headers.X-A'],
  ['a negative wait', { retrySchedule: [5, -1] }, 'retrySchedule'],
  ['a wait of half a second', { retrySchedule: [0.5] }, 'retrySchedule'],
  ['waits over 30 days', { retrySchedule: [2_592_001] }, 'retrySchedule'],
  ['21 waits', { retrySchedule: Array.from({ length: 21 }, () => 1) }, 'retrySchedule'],
  ['a rate of zero', { rateLimit: { perSecond: 0 } }, 'rateLimit.perSecond'],
  ['a rate that is next to nothing', { rateLimit: { perSecond: 1e-13 } }, 'rateLimit.perSecond'],
  ['a negative rate', { rateLimit: { perSecond: -1 } }, 'rateLimit.perSecond'],
  ['an order that is none', { ordering: 'fifo' }, 'ordering'],
  ['an age of zero', { maxAgeSeconds: 0 }, 'maxAgeSeconds'],
  ['a content that is neither', { content: 'half' }, 'content'],
])('%s is refused with its field, when created and when changed', async (_, wrong, field) => {
  const { body } = await api.call('POST', path, { token, json: good })
  const refused = { status: 400, body: { error: 'INVALID_BODY', details: [{ path: field }] } }
  const created = await api.call('POST', path, { token, json: { ...good, ...wrong } })
  expect(created).toMatchObject(refused)
  const one = `${path}/${body.webhook.id}`
  expect(await api.call('PATCH', one, { token, json: wrong })).toMatchObject(refused)
  expect((await api.call('GET', one, { token })).body.webhook).toEqual(body.webhook)
})

test('a rate, an order and a schedule come back as they were asked for, and can be taken back', async () => {
  const asked = {
    rateLimit: { perSecond: 0.5 },
    ordering: 'conversation',
    retrySchedule: [],
    maxAgeSeconds: 60,
    content: 'full',
  }
  const { body } = await api.call('POST', path, { token, json: { ...good, ...asked } })
  expect(body.webhook).toMatchObject(asked)
  const plain = { rateLimit: null, ordering: 'none', retrySchedule: null, maxAgeSeconds: null }
  const one = `${path}/${body.webhook.id}`
  const changed = await api.call('PATCH', one, { token, json: plain })
  expect(changed.body.webhook).toMatchObject({ ...plain, content: 'full' })
})

test('rateLimit null and ordering none are what there is anyway', async () => {
  const json = { ...good, rateLimit: null, ordering: 'none' }
  expect(await api.call('POST', path, { token, json })).toMatchObject({ status: 201 })
})

test('a creation that is repeated with its key makes one subscription and shows its secret again', async () => {
  const base = `${await addIntegration('generic-webhook')}/webhooks`
  const request = { token, json: good, headers: { 'idempotency-key': 'make-one' } }
  const first = await api.call('POST', base, request)
  const again = await api.call('POST', base, request)
  expect(again.body).toEqual(first.body)
  expect(again.status).toBe(201)
  expect(again.headers.get('idempotency-replayed')).toBe('true')
  expect((await api.call('GET', base, { token })).body.webhooks).toHaveLength(1)
})

describe('what is owed', () => {
  const { pool } = api.database
  const statesOf = async (subscriptionId: string) => {
    const { rows } = await pool.query(
      'select status, state from patchbay.webhook_deliveries where subscription_id = $1',
      [subscriptionId],
    )
    return rows
  }
  const subscribe = async (count: number) => {
    const { body } = await api.call('POST', path, { token, json: good })
    const { id: subscriptionId, integrationId } = body.webhook
    const ids = await addDeliveries(pool, { orgId, integrationId, subscriptionId }, count)
    return { subscriptionId, ids, one: `${path}/${subscriptionId}` }
  }

  test('is counted, held while the subscription is disabled, and goes on when it is enabled', async () => {
    const { subscriptionId, one } = await subscribe(2)
    const off = await api.call('PATCH', one, { token, json: { isActive: false } })
    expect(off.body.webhook.health.owed).toBe(2)
    await holdLanes(pool, [subscriptionId])
    const held = { status: 'owed', state: 'held' }
    expect(await statesOf(subscriptionId)).toEqual([held, held])
    expect(await promoteDue(pool, 10)).toBe(0)
    await api.call('PATCH', one, { token, json: { isActive: true } })
    await tendLanes(pool)
    const ready = { status: 'owed', state: 'ready' }
    expect(await statesOf(subscriptionId)).toEqual([ready, ready])
  })

  test('is not resumed by the integration while the subscription stays disabled', async () => {
    const { subscriptionId, one } = await subscribe(1)
    await api.call('PATCH', one, { token, json: { isActive: false } })
    await holdLanes(pool, [subscriptionId])
    const integration = path.replace('/webhooks', '')
    await api.call('PATCH', integration, { token, json: { isEnabled: false } })
    await api.call('PATCH', integration, { token, json: { isEnabled: true } })
    await holdLanes(pool, [subscriptionId])
    expect(await statesOf(subscriptionId)).toEqual([{ status: 'owed', state: 'held' }])
  })

  test('is canceled when the subscription is deleted, and the history says so', async () => {
    const { subscriptionId, ids, one } = await subscribe(2)
    await api.call('DELETE', one, { token })
    const canceled = { status: 'canceled', state: 'final' }
    expect(await statesOf(subscriptionId)).toEqual([canceled, canceled])
    const shown = await api.call('GET', `/orgs/${orgId}/deliveries/${ids[0]}`, { token })
    expect(shown.body).toMatchObject({
      delivery: { status: 'canceled', attempts: 0, lastError: 'the subscription was deleted' },
      attempts: [],
    })
  })

  test('is canceled when the integration is deleted', async () => {
    const base = await addIntegration('generic-webhook')
    const { body } = await api.call('POST', `${base}/webhooks`, { token, json: good })
    const { id: subscriptionId, integrationId } = body.webhook
    await addDeliveries(pool, { orgId, integrationId, subscriptionId })
    await api.call('DELETE', base, { token })
    expect(await statesOf(subscriptionId)).toEqual([{ status: 'canceled', state: 'final' }])
  })
})

describe('the secret', () => {
  const create = async () => {
    const { body } = await api.call('POST', path, { token, json: good })
    return { rotate: `${path}/${body.webhook.id}/rotate-secret`, secret: body.secret, body }
  }

  test('is rotated: the new one is shown once, the old one has an end', async () => {
    const { rotate, secret } = await create()
    const answer = await api.call('POST', rotate, { token })
    expect(answer.status).toBe(200)
    expect(Object.keys(answer.body)).toEqual(['secret', 'previousExpiresAt'])
    expect(answer.body.secret).toMatch(/^whsec_/)
    expect(answer.body.secret).not.toBe(secret)
    const leftMs = Date.parse(answer.body.previousExpiresAt) - Date.now()
    expect(leftMs / 1000).toBeCloseTo(86_400, -2)
  })

  test.each([
    ['negative', -1],
    ['over a week', 604_801],
    ['no number', 'long'],
  ])('is not rotated with an overlap that is %s', async (_, overlapSeconds) => {
    const { rotate } = await create()
    expect(await api.call('POST', rotate, { token, json: { overlapSeconds } })).toMatchObject({
      status: 400,
      body: { details: [{ path: 'overlapSeconds' }] },
    })
  })

  test('has ten valid ones at most, and makes room when none is to stay', async () => {
    const { rotate } = await create()
    for (let n = 1; n < 10; n += 1) {
      expect((await api.call('POST', rotate, { token, json: {} })).status).toBe(200)
    }
    expect(await api.call('POST', rotate, { token })).toMatchObject({
      status: 409,
      body: { error: 'CONFLICT', details: [{ path: 'overlapSeconds' }] },
    })
    const answer = await api.call('POST', rotate, { token, json: { overlapSeconds: 0 } })
    expect(answer.status).toBe(200)
    expect((await api.call('POST', rotate, { token })).status).toBe(200)
  })
})

test('what people change stands in the audit log, with what opens content, and no secret', async () => {
  const { body } = await api.call('POST', path, { token, json: good })
  const { id } = body.webhook
  const one = `${path}/${id}`
  await api.call('PATCH', one, { token, json: { content: 'full', headers: { 'X-Key': 'hidden' } } })
  const rotated = await api.call('POST', `${one}/rotate-secret`, { token })
  await api.call('POST', `${one}/test`, { token })
  await api.call('DELETE', one, { token })
  const { body: log, text } = await api.call('GET', `/orgs/${orgId}/audit`, { token })
  const entries = log.entries.filter((entry: { target: string }) => entry.target === id)
  expect(entries).toMatchObject([
    { action: 'webhook.deleted', principal: 'me' },
    { action: 'webhook.tested' },
    { action: 'webhook.secret_rotated', detail: { overlapSeconds: 86_400 } },
    {
      action: 'webhook.updated',
      detail: { changed: ['headers', 'content'], content: { from: 'thin', to: 'full' } },
    },
    { action: 'webhook.created', detail: { content: 'thin', eventTypes: good.eventTypes } },
  ])
  expect(text).not.toContain('hidden')
  expect(text).not.toContain(rotated.body.secret)
})

test('nothing of all this broke inside', () => {
  expect(api.broken).toEqual([])
})
