import { randomBytes } from 'node:crypto'
import { SignJWT } from 'jose'
import type { Pool } from 'pg'
import { parseConfig } from '../../src/config.ts'
import { openService } from '../../src/service/service.ts'
import { makeLog } from '../../src/telemetry/log.ts'
import type { ApiAnswer, ApiRequest } from '../fixtures/api.ts'
import { openTestDatabase } from '../fixtures/database.ts'
import { newSecrets, until } from '../fixtures/process.ts'

export interface Delivery {
  readonly id: string
  readonly webhookId: string
  readonly status: 'owed' | 'delivered' | 'failed' | 'expired' | 'canceled'
  readonly attempts: number
  readonly nextAttemptAt: string | null
  readonly waitsFor: string | null
  readonly hasBody: boolean
  readonly lastError: string | null
}

export interface Attempt {
  readonly attempt: number
  readonly outcome: string
  readonly statusCode: number | null
  readonly error: string | null
  readonly responseSnippet: string | null
  readonly trigger: string
  readonly createdAt: string
}

export interface Subscribed {
  readonly id: string
  readonly secret: string
  /** Of the subscription in the API. */
  readonly path: string
}

export interface StoryOrg {
  readonly id: string
  readonly path: string
  readonly token: string
  readonly integrationId: string
  /** As the org's owner. */
  readonly call: (method: string, path: string, json?: unknown) => Promise<ApiAnswer>
  /** Subscribes a URL to everything and is tried once, unless `more` says otherwise. */
  readonly subscribe: (url: string, more?: object) => Promise<Subscribed>
  /** Emits through the API; the event's id. */
  readonly emit: (type?: string, data?: object) => Promise<string>
  /** The deliveries of an event, as soon as it has some. */
  readonly deliveries: (eventId: string) => Promise<Delivery[]>
  readonly delivery: (deliveryId: string) => Promise<Delivery>
  readonly attempts: (deliveryId: string) => Promise<Attempt[]>
  /** The one delivery of an event, when it has had so many tries. */
  readonly tried: (eventId: string, tries: number) => Promise<Delivery>
  /** The one delivery of an event, when it has come to its end. */
  readonly ended: (eventId: string) => Promise<Delivery>
}

export interface Story extends AsyncDisposable {
  /** Of the API, without a slash at its end. */
  readonly url: string
  readonly pool: Pool
  /** The settings of the product, for further processes of it. */
  readonly env: Readonly<Record<string, string>>
  readonly superadmin: string
  readonly call: (method: string, path: string, request?: ApiRequest) => Promise<ApiAnswer>
  readonly addOrg: () => Promise<StoryOrg>
  /** Moves time: what waits for its next try is due now. */
  readonly makeDue: (deliveryId: string) => Promise<void>
  /** An event of so long ago, as Postgres writes an interval; its id. */
  readonly emitAgo: (org: StoryOrg, interval: string) => Promise<string>
  readonly isFannedOut: () => Promise<boolean>
}

interface StoryOptions {
  readonly env?: Readonly<Record<string, string>>
  /** false: the API alone; workers are processes that the test starts. */
  readonly isWorker?: boolean
}

/** The product as its users run it, on a database of its own: an API on a port, a worker, and real sockets. */
export async function openStory({ env = {}, isWorker = true }: StoryOptions = {}): Promise<Story> {
  await using stack = new AsyncDisposableStack()
  const database = stack.use(await openTestDatabase())
  const settings = {
    ...newSecrets(),
    DATABASE_URL: database.url,
    EGRESS_ALLOW: '127.0.0.1',
    EGRESS_HTTP: 'allow',
    LOG_LEVEL: 'error',
    ...env,
  }
  const roles = { isApi: true, isWorker }
  const config = parseConfig({ ...settings, PORT: '0' })
  const service = stack.use(await openService(config, roles, makeLog('error')))
  const call = makeCall(service.url ?? '')
  const superadmin = await signToken(settings.AUTH_JWT_SECRET, 'root', { isSuperadmin: true })
  const { pool } = database
  const owned = stack.move()
  return {
    url: service.url ?? '',
    pool,
    env: settings,
    superadmin,
    call,
    addOrg: async () => {
      const id = `org-${randomBytes(6).toString('hex')}`
      const token = await signToken(settings.AUTH_JWT_SECRET, `owner of ${id}`)
      return addOrg(call, superadmin, id, token)
    },
    makeDue: async (deliveryId) => {
      await pool.query(
        `update patchbay.delivery_queue set due_at = now() where id = $1 and not ready and lease_token is null`,
        [deliveryId],
      )
    },
    emitAgo: (org, interval) => emitAgo(pool, org.id, interval),
    isFannedOut: async () => {
      const { rows } = await pool.query('select from patchbay.outbox_pending limit 1')
      return rows.length === 0
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  }
}

/** An id carries its time: this one has the past in its first 48 bits. */
async function emitAgo(pool: Pool, orgId: string, interval: string): Promise<string> {
  const { rows } = await pool.query(
    `with past as (
       select (left(patchbay.id_floor(now() - $2::interval)::text, 13) || right(patchbay.new_id()::text, 23))::uuid as id
     )
     insert into patchbay.outbox_events (id, org_id, type, data, occurred_at)
     select id, $1, 'story.told', '{}', now() - $2::interval from past
     returning id`,
    [orgId, interval],
  )
  return rows[0].id
}

function signToken(secret: string, subject: string, claims: object = {}): Promise<string> {
  return new SignJWT({ ...claims })
    .setProtectedHeader({ alg: 'HS256' })
    .setSubject(subject)
    .setExpirationTime('1h')
    .sign(new TextEncoder().encode(secret))
}

function makeCall(url: string): Story['call'] {
  return async (method, path, { token, json, text, headers = {} } = {}) => {
    const body = json === undefined ? text : JSON.stringify(json)
    const response = await fetch(url + path, {
      method,
      ...(body === undefined ? {} : { body }),
      headers: {
        ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...headers,
      },
    })
    const answer = await response.text()
    const isJson = /\bjson\b/.test(response.headers.get('content-type') ?? '')
    return {
      status: response.status,
      headers: response.headers,
      text: answer,
      body: isJson ? JSON.parse(answer) : null,
    }
  }
}

/** A refusal where none is expected ends the test with the answer's own words. */
function accepted(answer: ApiAnswer): ApiAnswer['body'] {
  if (answer.status >= 300) throw new Error(`HTTP ${answer.status}: ${answer.text}`)
  return answer.body
}

async function addOrg(
  callAs: Story['call'],
  superadmin: string,
  id: string,
  token: string,
): Promise<StoryOrg> {
  const path = `/orgs/${id}`
  const root = { token: superadmin }
  accepted(await callAs('POST', '/orgs', { ...root, json: { id, name: id } }))
  const member = `${path}/members/${encodeURIComponent(`owner of ${id}`)}`
  accepted(await callAs('PUT', member, { ...root, json: { role: 'owner' } }))
  const call: StoryOrg['call'] = (method, at, json) => callAs(method, at, { token, json })
  const get = async (at: string) => accepted(await call('GET', at))
  const post = async (at: string, json: unknown) => accepted(await call('POST', at, json))
  const installed = await post(`${path}/integrations`, {
    providerKey: 'generic-webhook',
    name: 'Hooks',
  })
  const integrationId: string = installed.integration.id
  const webhooks = `${path}/integrations/${integrationId}/webhooks`

  return {
    id,
    path,
    token,
    integrationId,
    call,
    subscribe: async (url, more = {}) => {
      const json = { url, eventTypes: ['*'], retrySchedule: [], ...more }
      const { webhook, secret } = await post(webhooks, json)
      return { id: webhook.id, secret, path: `${webhooks}/${webhook.id}` }
    },
    emit: async (type = 'story.told', data = {}) =>
      (await post(`${path}/events`, { type, data })).event.id,
    ...readersOf(path, get),
  }
}

type Readers = Pick<StoryOrg, 'deliveries' | 'delivery' | 'attempts' | 'tried' | 'ended'>

/** What became of an event, as the API tells it. */
function readersOf(path: string, get: (at: string) => Promise<ApiAnswer['body']>): Readers {
  const deliveriesOf = async (eventId: string): Promise<Delivery[]> =>
    (await get(`${path}/events/${eventId}`)).deliveries
  const first = async (what: string, eventId: string, isReached: (one: Delivery) => boolean) => {
    let found: Delivery | undefined
    await until(`the delivery of ${eventId} ${what}`, async () => {
      found = (await deliveriesOf(eventId))[0]
      return found !== undefined && isReached(found)
    })
    if (found === undefined) throw new Error(`no delivery of ${eventId}`)
    return found
  }

  return {
    deliveries: async (eventId) => {
      await first('is written', eventId, () => true)
      return deliveriesOf(eventId)
    },
    delivery: async (deliveryId) => (await get(`${path}/deliveries/${deliveryId}`)).delivery,
    attempts: async (deliveryId) => (await get(`${path}/deliveries/${deliveryId}`)).attempts,
    tried: (eventId, tries) =>
      first(
        `has had ${tries} tries`,
        eventId,
        (one) => one.attempts === tries && one.waitsFor !== 'the answer of the receiver',
      ),
    ended: (eventId) => first('has ended', eventId, (one) => one.status !== 'owed'),
  }
}
