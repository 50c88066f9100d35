import { setTimeout as sleep } from 'node:timers/promises'
import { Webhook } from 'standardwebhooks'
import { afterAll, expect, test, vi } from 'vitest'
import { openReceiver, type ReceivedRequest } from '../fixtures/receiver.ts'
import { openStory, type StoryOrg, type Subscribed } from './story.ts'

const stack = new AsyncDisposableStack()
const story = stack.use(await openStory())
afterAll(() => stack.disposeAsync())
const receiver = stack.use(await openReceiver())

/** Emits an event and gives what arrived of it. */
async function receive(org: StoryOrg): Promise<ReceivedRequest> {
  const eventId = await org.emit()
  await org.ended(eventId)
  const request = receiver.requests.find(({ headers }) => headers['webhook-id'] === eventId)
  if (request === undefined) throw new Error(`${eventId} has not arrived`)
  return request
}

function headersOf({ headers }: ReceivedRequest) {
  return {
    'webhook-id': String(headers['webhook-id']),
    'webhook-timestamp': String(headers['webhook-timestamp']),
    'webhook-signature': String(headers['webhook-signature']),
  }
}

const signaturesOf = (request: ReceivedRequest) =>
  headersOf(request)['webhook-signature'].split(' ')

/** By the stock Standard Webhooks library. */
function isVerified(secret: string, request: ReceivedRequest, more: object = {}): boolean {
  try {
    new Webhook(secret).verify(request.body, { ...headersOf(request), ...more })
    return true
  } catch {
    return false
  }
}

const rotate = (org: StoryOrg, { path }: Subscribed, overlapSeconds?: number) =>
  org.call('POST', `${path}/rotate-secret`, overlapSeconds === undefined ? {} : { overlapSeconds })

test('29. a rotated secret still verifies for 24 hours, and three rotations give four signatures that all verify', async () => {
  const org = await story.addOrg()
  const webhook = await org.subscribe(receiver.url)
  const secrets = [webhook.secret]
  for (let n = 0; n < 3; n += 1) {
    const { status, body } = await rotate(org, webhook)
    expect(status).toBe(200)
    const overlapMs = Date.parse(body.previousExpiresAt) - Date.now()
    expect(overlapMs).toBeGreaterThan(86_390_000)
    expect(overlapMs).toBeLessThanOrEqual(86_400_000)
    secrets.push(body.secret)
  }
  expect(new Set(secrets).size).toBe(4)
  const request = await receive(org)
  expect(signaturesOf(request)).toHaveLength(4)
  for (const secret of secrets) expect(isVerified(secret, request)).toBe(true)
})

test('29. a secret whose overlap is over verifies nothing more, without a restart', async () => {
  const org = await story.addOrg()
  const webhook = await org.subscribe(receiver.url)
  const { body } = await rotate(org, webhook, 1)
  // Until the overlap of one second is over.
  await sleep(Date.parse(body.previousExpiresAt) - Date.now() + 10)
  const request = await receive(org)
  expect(signaturesOf(request)).toHaveLength(1)
  expect(isVerified(body.secret, request)).toBe(true)
  expect(isVerified(webhook.secret, request)).toBe(false)
})

test('30. ten secrets are valid at most: the tenth overlapping rotation is a 409, overlapSeconds 0 drops all older ones', async () => {
  const org = await story.addOrg()
  const webhook = await org.subscribe(receiver.url)
  for (let n = 1; n <= 9; n += 1) expect((await rotate(org, webhook)).status).toBe(200)
  expect(signaturesOf(await receive(org))).toHaveLength(10)
  expect(await rotate(org, webhook)).toMatchObject({
    status: 409,
    body: { error: 'CONFLICT', details: [{ path: 'overlapSeconds' }] },
  })
  const { status, body } = await rotate(org, webhook, 0)
  expect(status).toBe(200)
  const request = await receive(org)
  expect(signaturesOf(request)).toHaveLength(1)
  expect(isVerified(body.secret, request)).toBe(true)
  expect(isVerified(webhook.secret, request)).toBe(false)
})

test('every signature is a v1: ed25519 is not offered', async () => {
  const org = await story.addOrg()
  const webhook = await org.subscribe(receiver.url)
  await rotate(org, webhook)
  for (const signature of signaturesOf(await receive(org))) expect(signature).toMatch(/^v1,/)
})

test('32. the stock library refuses a wrong secret, a changed body, and a timestamp five minutes off', async () => {
  const org = await story.addOrg()
  const { secret } = await org.subscribe(receiver.url)
  const { secret: another } = await (await story.addOrg()).subscribe(receiver.url)
  const request = await receive(org)
  expect(isVerified(secret, request)).toBe(true)
  expect(isVerified(another, request)).toBe(false)
  expect(isVerified(secret, { ...request, body: request.body.replace('told', 'sold') })).toBe(false)
  expect(isVerified(secret, request, { 'webhook-id': 'msg_another' })).toBe(false)
  const signedS = Number(request.headers['webhook-timestamp'])
  const isVerifiedAt = (offsetS: number) => {
    vi.useFakeTimers({ toFake: ['Date'], now: (signedS + offsetS) * 1000 })
    try {
      return isVerified(secret, request)
    } finally {
      vi.useRealTimers()
    }
  }
  expect([-301, -299, 299, 301].map(isVerifiedAt)).toEqual([false, true, true, false])
})

test('33. a secret is ciphertext wherever the database has it', async () => {
  const org = await story.addOrg()
  const webhooks = `${org.path}/integrations/${org.integrationId}/webhooks`
  // With a key, so that the answer with the secret is kept for a replay too.
  const created = await story.call('POST', webhooks, {
    token: org.token,
    json: { url: receiver.url, eventTypes: ['*'], headers: { authorization: 'Bearer hunter2' } },
    headers: { 'idempotency-key': 'k-33' },
  })
  const { webhook, secret } = created.body
  const rotated = await rotate(org, { id: webhook.id, secret, path: `${webhooks}/${webhook.id}` })
  await receive(org)
  const { rows: tables } = await story.pool.query<{ name: string }>(
    `select format('%I.%I', schemaname, tablename) as name from pg_tables where schemaname in ('patchbay', 'pgboss')`,
  )
  let dump = ''
  for (const { name } of tables) {
    const { rows } = await story.pool.query<{ row: string }>(
      `select t::text as row from ${name} as t`,
    )
    dump += rows.map(({ row }) => row).join('\n')
  }
  expect(dump).toContain(webhook.id)
  for (const text of [secret, rotated.body.secret, 'hunter2']) {
    const bare = text.replace('whsec_', '')
    for (const spelling of [
      bare,
      Buffer.from(bare).toString('hex'),
      Buffer.from(bare, 'base64').toString('hex'),
    ]) {
      expect(dump.includes(spelling)).toBe(false)
    }
  }
})
