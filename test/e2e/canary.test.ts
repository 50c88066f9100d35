import { SignJWT } from 'jose'
import type { Pool } from 'pg'
import { Webhook } from 'standardwebhooks'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { openTestDatabase, type TestDatabase } from '../fixtures/database.ts'
import { startPatchbay, type TestProcess, until } from '../fixtures/process.ts'
import { openReceiver } from '../fixtures/receiver.ts'
import {
  commandOf,
  SLACK_INSTALLED,
  signedAsSlack,
  slackClientSecret,
  slackSigningSecret,
} from './canary-slack.ts'
import { dump, found, mark, marks, oddMark } from './marks.ts'

/**
 * A marked secret in every field that may hold one, stories with failures in them, and endpoints that answer with what they
 * were sent; then a search for the marks in every answer, every line of the log, and every row of the database.
 */
const stack = new AsyncDisposableStack()
afterAll(() => stack.disposeAsync())

/** Answers that show a secret once, as they should, are not kept here. */
const answers: string[] = []
/** What endpoints and the model API were sent, by its path. */
const sent: { readonly url: string; readonly text: string }[] = []
const masterKey = Buffer.from(mark('master key').slice(0, 32)).toString('base64')
marks.set('master key, as it is set', masterKey)
const jwtSecret = mark('secret of the tokens')
const org = 'canary'

let database: TestDatabase
let running: TestProcess
let url: string
let token: string
let echo: string

beforeAll(async () => {
  database = stack.use(await openTestDatabase())
  marks.set('password of the database', new URL(database.url).password)
  // Tells everything that it was sent, in its body; the path says with which status.
  const receiver = stack.use(
    await openReceiver((response, request) => {
      if (request.url.endsWith('oauth.v2.access')) {
        sent.push({ url: request.url, text: JSON.stringify([request.headers, request.body]) })
        response.end(SLACK_INSTALLED)
        return
      }
      sent.push({
        url: request.url,
        text: JSON.stringify([request.url, request.headers, request.body]),
      })
      const status = Number(/^\/(\d{3})/.exec(request.url)?.[1] ?? 200)
      const said = JSON.stringify({ error: 'no', url: request.url, headers: request.headers })
      response.writeHead(status, { 'content-type': 'application/json', 'x-said': 'no' }).end(said)
    }),
  )
  echo = receiver.url
  running = stack.use(
    startPatchbay('both', {
      DATABASE_URL: database.url,
      MASTER_KEY: masterKey,
      AUTH_JWT_SECRET: jwtSecret,
      LLM_BASE_URL: `${echo}/401/v1`,
      LLM_API_KEY: mark('key of the model API', 'sk-'),
      LLM_MODEL: 'demo',
      PUBLIC_URL: 'https://patchbay.example.com',
      SLACK_API_URL: `${echo}/slack/`,
      SLACK_WEBHOOK_HOSTS: 'hooks.slack.com,127.0.0.1',
      SLACK_CLIENT_ID: '1.2',
      SLACK_CLIENT_SECRET: slackClientSecret,
      SLACK_SIGNING_SECRET: slackSigningSecret,
      PORT: '0',
      LOG_LEVEL: 'trace',
    }),
  )
  await until('it has started', () => running.output().includes('service.started'))
  url = /"url":"([^"]+)"/.exec(running.output())?.[1] ?? ''
  token = await new SignJWT({ isSuperadmin: true })
    .setProtectedHeader({ alg: 'HS256' })
    .setSubject('root')
    .setExpirationTime('1h')
    .sign(new TextEncoder().encode(jwtSecret))
  marks.set('token of a user', token)
  await ask('POST', '/orgs', { id: org, name: 'Canary' })
})

type Body = ReturnType<typeof JSON.parse>

interface Asked {
  readonly token?: string
  readonly headers?: Readonly<Record<string, string>>
  /** Sent as it is. */
  readonly text?: string
  /** The member of the answer that shows a secret, and that is its purpose. */
  readonly once?: 'secret' | 'key' | 'inboundSecret'
}

async function ask(method: string, path: string, json?: unknown, more: Asked = {}): Promise<Body> {
  const sentBody = json === undefined ? more.text : JSON.stringify(json)
  const response = await fetch(url + path, {
    method,
    ...(sentBody === undefined ? {} : { body: sentBody }),
    headers: {
      authorization: `Bearer ${more.token ?? token}`,
      'content-type': 'application/json',
      ...more.headers,
    },
  })
  const text = await response.text()
  const body = text.startsWith('{') ? JSON.parse(text) : {}
  const shown = more.once === undefined ? undefined : body[more.once]
  const rest = shown === undefined ? text : text.replace(shown, '')
  answers.push(`${method} ${response.status}`, JSON.stringify([...response.headers]), rest)
  return { status: response.status, ...body }
}

async function install(providerKey: string, credentials: object): Promise<string> {
  const key = `install-${marks.size}`
  const input = { providerKey, name: providerKey, credentials }
  const headers = { 'idempotency-key': key }
  const once = 'inboundSecret'
  const made = await ask('POST', `/orgs/${org}/integrations`, input, { once, headers })
  expect(made.status).toBe(201)
  if (made.inboundSecret !== undefined) marks.set(`inbound secret ${key}`, made.inboundSecret)
  return made.integration.id
}

/** Subscribes; keeps the secret that is shown once as a mark. */
async function subscribe(integrationId: string, input: object): Promise<string> {
  const path = `/orgs/${org}/integrations/${integrationId}/webhooks`
  const key = `canary-${marks.size}`
  const headers = { 'idempotency-key': key }
  const made = await ask('POST', path, { eventTypes: ['*'], ...input }, { once: 'secret', headers })
  expect([made.status, made.detail]).toEqual([201, undefined])
  marks.set(`signing secret ${key}`, made.secret)
  return `${path}/${made.webhook.id}`
}

async function everyAttemptOf(path: string): Promise<void> {
  const id = path.split('/').at(-1)
  await until(`a try of ${path}`, async () => {
    const { rows } = await database.pool.query(
      'select from patchbay.webhook_delivery_log where subscription_id = $1',
      [id],
    )
    return rows.length > 0
  })
  const { deliveries } = await ask('GET', `/orgs/${org}/deliveries?webhookId=${id}`)
  for (const delivery of deliveries) await ask('GET', `/orgs/${org}/deliveries/${delivery.id}`)
}

test('webhooks: to endpoints that echo, of apps whose URL is the secret, with failures', async () => {
  const hooks = await install('generic-webhook', { token: mark('credential of a webhook app') })
  const slack = await install('slack', {
    botToken: mark('bot token', 'xoxb-'),
    signingSecret: mark('signing secret of Slack'),
  })
  const teams = await install('teams', { outgoingWebhookToken: mark('token of Teams') })
  const headers = {
    Authorization: `Bearer ${oddMark('header authorization')}`,
    'X-Api-Key': oddMark('header key'),
    Cookie: `seen=1; session=${mark('header cookie')}`,
  }
  const paths = [
    await subscribe(hooks, { url: `${echo}/200/in`, headers }),
    await subscribe(hooks, { url: `${echo}/500/in`, headers, retrySchedule: [1] }),
    await subscribe(hooks, { url: `${echo}/302/in`, headers }),
    await subscribe(hooks, { url: 'http://127.0.0.1:1/refused', headers }),
    await subscribe(slack, {
      url: `https://hooks.slack.com/services/T0/B0/${mark('Slack URL')}`,
      retrySchedule: [],
    }),
    await subscribe(teams, {
      url: `https://prod.westus.logic.azure.com/workflows/x/triggers/manual/paths/invoke?sp=1&sig=${mark('Teams URL')}`,
      retrySchedule: [],
    }),
  ]
  await ask('POST', `/orgs/${org}/events`, { type: 'a.b', data: { n: 1 } })
  for (const path of paths) {
    await everyAttemptOf(path)
    await ask('GET', path)
    await ask('PATCH', path, { description: 'seen' })
    const rotated = await ask('POST', `${path}/rotate-secret`, {}, { once: 'secret' })
    marks.set(`rotated secret of ${path}`, rotated.secret)
    await ask('GET', `${path}/stats`)
  }
  await ask('GET', `/orgs/${org}/integrations`)
  await ask('GET', `/orgs/${org}/events`)
})

test('Slack by a click: its code, its tokens, and where its people are answered', async () => {
  const at = `${url}/integrations/slack`
  const begun = await fetch(`${at}/install?orgId=${org}`, {
    headers: { authorization: `Bearer ${token}` },
    redirect: 'manual',
  })
  const state = new URL(begun.headers.get('location') ?? '').searchParams.get('state') ?? ''
  const cookie = (begun.headers.get('set-cookie') ?? '').split(';')[0] ?? ''
  marks.set('state of an install', state)
  marks.set('browser of an install', cookie.split('=')[1] ?? '')
  const code = mark('code of an install, to Slack')
  const callback = `/integrations/slack/callback?code=${code}&state=${state}`
  expect((await ask('GET', callback, undefined, { headers: { cookie } })).status).toBe(200)
  expect((await ask('GET', callback, undefined, { headers: { cookie } })).status).toBe(400)

  const { integrations } = await ask('GET', `/orgs/${org}/integrations`)
  const { id } = integrations.find(({ externalName }: Body) => externalName === 'Canary')
  const path = `/orgs/${org}/integrations/${id}`
  const { webhooks } = await ask('GET', `${path}/webhooks`)
  await ask('POST', `${path}/webhooks/${webhooks[0].id}/test`)
  await everyAttemptOf(`${path}/webhooks/${webhooks[0].id}`)
  await ask('POST', `${path}/verify`)

  const form = commandOf(`${echo}/404/response/${mark('response URL, to Slack')}`)
  const post = (headers: Record<string, string>) =>
    ask('POST', '/inbound/slack/commands', undefined, { text: form, headers })
  expect((await post(signedAsSlack('another', form))).status).toBe(401)
  expect((await post(signedAsSlack(slackSigningSecret, form))).text).toContain('Asking')
  await until('it waits for its next try', async () => {
    const { rowCount } = await database.pool.query(
      `update patchbay.inbound_events set tries = 5
       where integration_id = $1 and state = 'waiting' and last_error is not null`,
      [id],
    )
    return rowCount === 1
  })
  await until('the asker could not be told', () =>
    running.output().includes('question.asker_not_told'),
  )
})

test('programs that post: their secrets, and what they were rotated to', async () => {
  const id = await install('generic-webhook', {})
  const rotated = await ask(
    'POST',
    `/orgs/${org}/integrations/${id}/rotate-inbound-secret`,
    { overlapSeconds: 60 },
    { once: 'secret', headers: { 'idempotency-key': 'rotate-inbound' } },
  )
  marks.set('inbound secret, rotated', rotated.secret)
  const { conversation } = await ask('POST', `/orgs/${org}/conversations`, {})
  const body = JSON.stringify({ conversationId: conversation.id, content: 'Hi', reply: true })
  const now = new Date()
  for (const [secret, status] of [
    [rotated.secret, 202],
    [`whsec_${Buffer.from(mark('forged inbound secret')).toString('base64')}`, 401],
  ] as const) {
    const headers = {
      'webhook-id': 'msg-1',
      'webhook-timestamp': String(Math.floor(now.getTime() / 1000)),
      'webhook-signature': new Webhook(secret).sign('msg-1', now, body),
    }
    const posted = await ask('POST', `/inbound/${id}`, undefined, { text: body, headers })
    expect(posted.status).toBe(status)
  }
})

test('tools: to endpoints that echo, with failures', async () => {
  const id = await install('generic-webhook', {
    token: oddMark('credential of a tool'),
    key: oddMark('credential in a URL'),
  })
  const path = `/orgs/${org}/integrations/${id}/tools`
  for (const [name, at] of [
    ['echo.ok', `${echo}/200/tool`],
    ['echo.fail', `${echo}/500/tool`],
    ['echo.refused', 'http://127.0.0.1:1/tool'],
  ]) {
    const made = await ask('POST', path, {
      name,
      description: 'Echoes',
      argsSchema: { type: 'object' },
      httpConfig: {
        method: 'POST',
        url: `${at}?key={{credentials.key}}`,
        headers: { Authorization: 'Bearer {{credentials.token}}' },
      },
    })
    expect(made.status).toBe(201)
    await ask('POST', `/orgs/${org}/tools/${name}/execute`, { args: { a: 1 } })
  }
  await ask('GET', path)
  await ask('GET', `/orgs/${org}/tools?format=openai`)
})

test('callers and the model API: keys and tokens that do not hold, a model’s key that is refused', async () => {
  const path = `/orgs/${org}/api-keys`
  const input = { name: 'CI', permissions: ['org:tools:use', 'org:chat'] }
  const headers = { 'idempotency-key': 'a-key' }
  const { apiKey, key } = await ask('POST', path, input, { once: 'key', headers })
  marks.set('API key', key)
  await ask('GET', `/orgs/${org}/tools`, undefined, { token: key })
  await ask('GET', `/orgs/${org}/integrations`, undefined, { token: key })
  await ask('GET', path)
  await ask('DELETE', `${path}/${apiKey.id}`)
  await ask('GET', `/orgs/${org}/tools`, undefined, { token: key })
  await ask('GET', `/orgs/${org}/audit`)
  await ask('GET', `/orgs/${org}/integrations`, undefined, { token: mark('no token') })
  const forged = `eyJhbGciOiJIUzI1NiJ9.${mark('forged token')}.c2ln`
  await ask('GET', `/orgs/${org}/integrations`, undefined, { token: forged })
  await ask('GET', `/orgs/${forged}/integrations`)
  await ask('GET', `/nowhere/${forged}`)
  const { conversation } = await ask('POST', `/orgs/${org}/conversations`, {})
  const turn = await ask('POST', `/orgs/${org}/conversations/${conversation.id}/turns`, {
    content: 'hi',
  })
  expect(turn.status).toBe(503)
})

test('bad input: what is refused is not told back', async () => {
  const path = `/orgs/${org}/integrations`
  const refused = [
    { providerKey: 'slack', name: 'x', credentials: { botToken: mark('bad bot token') } },
    { providerKey: 'generic-webhook', name: 'x', credentials: { 'bad name': mark('bad name') } },
    { providerKey: 'slack', name: 'x', credentials: { surprise: mark('unknown credential') } },
    { providerKey: 'generic-webhook', name: 'x', credentials: [mark('no object')] },
    { providerKey: 'generic-webhook', name: 7, credentials: { token: mark('beside a bad field') } },
  ]
  for (const input of refused) expect((await ask('POST', path, input)).status).toBe(400)
})

test('a database that fails: its error carries the query and its parameters', async () => {
  const secret = mark('in a query that failed')
  await broken(database.pool, 'org_integrations', async () => {
    const answer = await ask('POST', `/orgs/${org}/integrations`, {
      providerKey: 'generic-webhook',
      name: secret,
      credentials: { token: secret },
    })
    expect(answer.status).toBe(500)
  })
  await until('it was logged', () => running.output().includes('request.broke'))
  const id = await install('generic-webhook', {})
  const path = await subscribe(id, { url: `${echo}/200/sealed`, eventTypes: ['sealed.*'] })
  await database.pool.query(
    `update patchbay.webhook_subscriptions set secrets = '\\x0102', revision = revision + 1 where id = $1`,
    [path.split('/').at(-1)],
  )
  await ask('POST', `/orgs/${org}/events`, { type: 'sealed.not', data: {} })
  await until('it was noticed', () => running.output().includes('subscription.broken'))
})

/** While a column of the table has another name. */
async function broken(pool: Pool, table: string, work: () => Promise<void>): Promise<void> {
  await pool.query(`alter table patchbay.${table} rename column config to config_away`)
  try {
    await work()
  } finally {
    await pool.query(`alter table patchbay.${table} rename column config_away to config`)
  }
}

test('nobody was sent a secret that is another’s', () => {
  const isFor = (what: string, url: string) =>
    (what.startsWith('header') && /\/in$/.test(url)) ||
    (what.startsWith('credential of a tool') && url.includes('/tool')) ||
    (what === 'credential in a URL' && url.includes('/tool')) ||
    (what === 'key of the model API' && url.includes('/v1')) ||
    (what.endsWith('to Slack') && /^\/(?:slack|404\/response)\//.test(url))
  const strays = sent.flatMap(({ url, text }) =>
    [...marks].filter(([what, value]) => text.includes(value) && !isFor(what, url)),
  )
  expect(strays).toEqual([])
  expect(sent.map(({ url }) => url)).toContain('/slack/chat.postMessage')
  expect(sent.some(({ text }) => text.includes(marks.get('header authorization') ?? ''))).toBe(true)
})

test('no mark is found: in no answer, no line of the log, no row of the database', async () => {
  running.kill('SIGTERM')
  expect(await running.exited).toBe(0)
  const rows = await dump(database.pool)
  const lines = running.output()
  // The search finds what is there, or it would prove nothing.
  expect(rows).toContain('echo.fail')
  expect(lines).toContain('delivery.attempted')
  expect(answers.join('\n')).toContain('HTTP 500')
  expect(marks.size).toBeGreaterThan(30)
  expect(Math.min(...[...marks.values()].map(({ length }) => length))).toBeGreaterThan(8)
  expect([
    ...found('an answer', answers.join('\n')),
    ...found('the log', lines),
    ...found('the database', rows),
  ]).toEqual([])
})

test('the search finds a mark in each of its forms', () => {
  const value = mark('planted')
  for (const text of [
    `{"x":"${value}"}`,
    `\\x00${Buffer.from(value).toString('hex')}ff`,
    Buffer.from(`a${value}b`).toString('base64'),
    Buffer.from(`ab${value}`).toString('base64url'),
  ]) {
    expect(found('a text', text)).toHaveLength(1)
  }
  marks.delete('planted')
})
