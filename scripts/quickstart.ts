import { createWriteStream } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { SignJWT } from 'jose'
import pg from 'pg'
import { ConfigError, parseConfig } from '../src/config.ts'
import { EmbeddedError } from '../src/db/embedded.ts'
import { jwtSecret } from '../src/service/resources.ts'
import { openService } from '../src/service/service.ts'
import { makeLog } from '../src/telemetry/log.ts'
import { askForApproval } from './quickstart/approval.ts'
import { makeClient } from './quickstart/client.ts'
import { type Arrival, openReceiver } from './quickstart/receiver.ts'
import { formatTable } from './table.ts'

/**
 * `npm run quickstart`: the whole product on real input, in one process: a chat turn commits, signed webhooks arrive at a
 * receiver that verifies them, one of them only after retries, the history stands in SQL, a subscription that came too late
 * asks why, and gets what it missed, and a tool waits for a person.
 */
const WAIT_MS = 30_000

async function main(): Promise<void> {
  const config = parseConfig({
    ...process.env,
    PORT: '0',
    EGRESS_ALLOW: '127.0.0.1',
    EGRESS_HTTP: 'allow',
    RETRY_SCHEDULE: '1,2',
  })
  await mkdir(config.PATCHBAY_DIR, { recursive: true, mode: 0o700 })
  const log = makeLog('info', createWriteStream(join(config.PATCHBAY_DIR, 'quickstart.log')))

  heading('Patchbay quickstart')
  const startedAt = performance.now()
  await using service = await openService(config, { isApi: true, isWorker: true }, log)
  await using receiver = await openReceiver()
  const took = ((performance.now() - startedAt) / 1000).toFixed(1)
  const database = config.DATABASE_URL === undefined ? 'an embedded Postgres' : 'your Postgres'
  step('up', `API and worker on ${database}, in ${took} s; a receiver on ${receiver.url}`)

  const token = await superadminToken(await jwtSecret(config))
  const api = makeClient(service.url ?? '', token)
  const orgId = `quickstart-${Date.now().toString(36)}`
  await api.post('/orgs', { id: orgId, name: 'Quickstart' })
  step('org', orgId)
  const org = `/orgs/${orgId}`
  const { integration } = await api.post(`${org}/integrations`, {
    providerKey: 'generic-webhook',
    name: 'My service',
    credentials: { apiKey: 'demo-key-of-my-service' },
  })
  const hooks = `${org}/integrations/${integration.id}/webhooks`
  const steady = await api.post(hooks, {
    url: `${receiver.url}/hooks`,
    eventTypes: ['chat.turn.completed', 'tool.*'],
  })
  const flaky = await api.post(hooks, {
    url: `${receiver.url}/flaky`,
    eventTypes: ['chat.turn.completed'],
    description: 'answers 503 twice, then 200',
  })
  receiver.trust('/hooks', steady.secret)
  receiver.trust('/flaky', flaky.secret)
  step('app', '"My service" (generic-webhook): two subscriptions, each with a secret of its own')
  const { tool } = await api.post(`${org}/integrations/${integration.id}/tools`, {
    name: 'weather.get',
    description: 'Weather of a city',
    argsSchema: {
      type: 'object',
      properties: { city: { type: 'string' } },
      required: ['city'],
      additionalProperties: false,
    },
    httpConfig: {
      method: 'POST',
      url: `${receiver.url}/weather`,
      headers: { 'X-Api-Key': '{{credentials.apiKey}}' },
    },
  })
  step('tool', `${tool.name}, for model APIs ${tool.wireName}, backed by ${receiver.url}/weather`)

  heading('A chat turn that uses the tool')
  const { conversation } = await api.post(`${org}/conversations`, { title: 'Hello' })
  const said = 'use weather.get {"city":"Lisbon"}'
  const turn = await api.post(`${org}/conversations/${conversation.id}/turns`, { content: said })
  line('user', said)
  line('assistant', turn.assistantMessage.content)
  line('committed', 'the run with its event; then both messages with theirs, in one transaction')

  heading('What arrives')
  console.log(dim(`  ${arrivalRow(['event', 'path', 'try', 'signatures', 'answered'])}`))
  await receiver.until(5, WAIT_MS, (arrival) => console.log(`  ${describe(arrival)}`))

  heading('The history, as rows of patchbay.webhook_deliveries')
  await untilSettled(service.databaseUrl, orgId)
  console.log(indent(await historyTable(service.databaseUrl, orgId)))
  console.log(dim('\n  and every try of the one that failed, from patchbay.webhook_delivery_log'))
  console.log(indent(await attemptsTable(service.databaseUrl, flaky.webhook.id)))

  heading('"Why did I not get this?"')
  const late = await api.post(hooks, {
    url: `${receiver.url}/late`,
    eventTypes: ['chat.turn.completed'],
  })
  receiver.trust('/late', late.secret)
  const [event] = (await api.get(`${org}/events?type=chat.turn.completed`)).events
  const explained = `${org}/events/${event?.id}/explain?webhookId=${late.webhook.id}`
  const { verdict, reason } = await api.get(explained)
  line('verdict', verdict)
  line('reason', reason)
  const { recovery } = await api.post(`${hooks}/${late.webhook.id}/recover`, {
    since: new Date(Date.now() - 3_600_000).toISOString(),
    statuses: ['missed'],
  })
  line('recover', `${recovery.matched} event of the last hour, sent again`)
  await receiver.until(6, WAIT_MS, (arrival) => {
    if (arrival.path === '/late') console.log(`  ${describe(arrival)}`)
  })
  await untilSettled(service.databaseUrl, orgId)

  heading('A tool that somebody has to approve')
  const place = { api, org, integrationId: integration.id, url: receiver.url }
  await askForApproval(place, line)
  console.log(dim('\n  every run, from patchbay.tool_runs'))
  console.log(indent(await runsTable(service.databaseUrl, orgId)))
  await untilSettled(service.databaseUrl, orgId)
  whatNext(orgId)
}

async function superadminToken(secret: Awaited<ReturnType<typeof jwtSecret>>): Promise<string> {
  if (secret === undefined) {
    throw new ConfigError(['AUTH_JWKS_URL: unset it for the quickstart, which signs its own token'])
  }
  return new SignJWT({ isSuperadmin: true })
    .setProtectedHeader({ alg: 'HS256' })
    .setSubject('quickstart')
    .setExpirationTime('10m')
    .sign(new TextEncoder().encode(secret.reveal()))
}

function describe(arrival: Arrival): string {
  const signatures = arrival.isVerified ? '✓ both verified' : '✗ NOT verified'
  const answer = arrival.status === 200 ? '200' : `${arrival.status}, so it will be tried again`
  return arrivalRow([arrival.type, arrival.path, String(arrival.attempt), signatures, answer])
}

function arrivalRow([type = '', path = '', attempt = '', signatures = '', answer = '']: string[]) {
  return `${type.padEnd(21)} ${path.padEnd(8)} ${attempt.padEnd(4)} ${signatures.padEnd(17)} ${answer}`
}

async function query(url: string, text: string, values: unknown[]): Promise<pg.QueryResult> {
  const client = new pg.Client({ connectionString: url, types: { getTypeParser: () => String } })
  await client.connect()
  try {
    return await client.query(text, values)
  } finally {
    await client.end()
  }
}

const OWED = `
select from patchbay.outbox_pending where org_id = $1
union all
select from patchbay.delivery_queue where org_id = $1`

/** What was emitted is fanned out, and the last answer is in; its row follows within milliseconds. */
async function untilSettled(url: string, orgId: string): Promise<void> {
  const deadline = performance.now() + WAIT_MS
  while (performance.now() < deadline) {
    const { rows } = await query(url, OWED, [orgId])
    if (rows.length === 0) return
  }
  throw new Error('some deliveries did not settle in time')
}

async function historyTable(url: string, orgId: string): Promise<string> {
  const result = await query(
    url,
    `select event_type, status, attempts, last_status_code as code,
       to_char(finished_at - created_at, 'SS.MS') || ' s' as took, url
     from patchbay.webhook_deliveries where org_id = $1 order by created_at, url`,
    [orgId],
  )
  return tableOf(result)
}

async function attemptsTable(url: string, subscriptionId: string): Promise<string> {
  const result = await query(
    url,
    `select attempt, outcome, status_code as code, is_final, duration_ms, error, response_snippet as answer
     from patchbay.webhook_delivery_log where subscription_id = $1 order by created_at`,
    [subscriptionId],
  )
  return tableOf(result)
}

async function runsTable(url: string, orgId: string): Promise<string> {
  const result = await query(
    url,
    `select r.tool, r.source, r.user_id, r.outcome, r.duration_ms, a.decided_by as approved_by, r.arguments, r.result
     from patchbay.tool_runs as r
     left join patchbay.tool_approvals as a on a.org_id = r.org_id and a.id = r.approval_id
     where r.org_id = $1 order by r.id`,
    [orgId],
  )
  return tableOf(result)
}

function tableOf(result: pg.QueryResult): string {
  const names = result.fields.map((field) => field.name)
  return formatTable(
    names,
    result.rows.map((row: Record<string, unknown>) => names.map((name) => row[name])),
  )
}

function whatNext(orgId: string): void {
  heading('Next')
  const commands = [
    ['npm start', 'the API and a worker; its API documentation is at http://127.0.0.1:8787/docs'],
    [`npm run token -- --org ${orgId} --user me --role admin`, 'a token for curl'],
    ['npm run sql -- "select * from patchbay.webhook_deliveries"', 'the same history, any time'],
    [
      'docs/tools.md',
      'tools: signed calls, approvals, OpenAPI import, MCP; docs/host.md for your own model loop',
    ],
    ['docs/receiving.md', 'verify webhooks in TypeScript, Python, Go, Ruby or PHP'],
    ['npm test', 'the whole test suite'],
    [
      'npm run chaos',
      'kills workers, cuts the database, breaks receivers, and counts what arrived',
    ],
  ]
  for (const [command = '', what = ''] of commands) console.log(`  ${command}\n      ${dim(what)}`)
}

const isTerminal = process.stdout.isTTY === true
const dim = (text: string) => (isTerminal ? `\u001b[2m${text}\u001b[0m` : text)
const bold = (text: string) => (isTerminal ? `\u001b[1m${text}\u001b[0m` : text)
const heading = (text: string) => console.log(`\n${bold(text)}`)
const line = (label: string, text: string) =>
  console.log(`  ${label.padEnd(10)} ${text.replaceAll('\n', `\n${' '.repeat(13)}`)}`)
const step = (label: string, text: string) => line(`✓ ${label}`, text)
const indent = (text: string) => text.replace(/^/gm, '  ')

try {
  await main()
} catch (error) {
  process.exitCode = 1
  const isForUser = error instanceof EmbeddedError || error instanceof ConfigError
  console.error(isForUser ? error.message : error)
}
