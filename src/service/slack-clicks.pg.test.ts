import { randomBytes, randomUUID } from 'node:crypto'
import { afterAll, expect, test } from 'vitest'
import { signV0 } from '../../test/doubles/slack/signature.ts'
import type { Message } from '../../test/doubles/slack/world.ts'
import { openSlack } from '../../test/doubles/slack.ts'
import { openTestDatabase } from '../../test/fixtures/database.ts'
import { openLoopbackEgress } from '../../test/fixtures/egress.ts'
import { until } from '../../test/fixtures/process.ts'
import type { Actor } from '../core/actor.ts'
import { AppError, notFound } from '../core/error.ts'
import { Secret } from '../core/secret.ts'
import { makeDataKeyStore } from '../db/data-keys.ts'
import { listen } from '../http/listen.ts'
import { requestLog } from '../http/middleware/request.ts'
import { makeOnError } from '../http/problem.ts'
import { makeRouter } from '../http/route.ts'
import { slackInboundRoutes } from '../http/routes/slack-inbound.ts'
import { makeFindIntegration } from '../inbound/find-integration.ts'
import { openCredentials, sealCredentials } from '../integrations/credentials.ts'
import { renderEvent } from '../providers/slack/blocks.ts'
import { openKeyring } from '../security/keyring.ts'
import { makeLocalWrapper } from '../security/local-wrapper.ts'
import { makeLog } from '../telemetry/log.ts'
import { NO_METER } from '../telemetry/meter.ts'
import { makeCallApp } from './call-app.ts'
import { makePostTo } from './post-to.ts'
import { makeSlackClicks } from './slack-clicks.ts'
import { makeSlackRequests } from './slack-requests.ts'

const stack = new AsyncDisposableStack()
afterAll(() => stack.disposeAsync())

const log = makeLog('silent')
const database = stack.use(await openTestDatabase())
const slack = stack.use(await openSlack({ burst: 100 }))
const egress = stack.use(openLoopbackEgress())
const masterKey = new Secret(randomBytes(32).toString('base64'))
const keyring = await openKeyring({
  wrapper: makeLocalWrapper('MASTER_KEY', () => [masterKey]),
  store: makeDataKeyStore(database.pool),
  newId: randomUUID,
})
await database.pool.query(
  `insert into patchbay.integration_providers (key, name, description, manifest)
   values ('slack', 'Slack', '', '{}')`,
)

/** Calls that wait, of their orgs; whoever decides one is the only one. */
const waiting = new Map<string, { orgId: string; decidedBy: string | null }>()
const decisions: { approvalId: string; decision: string; by: Actor }[] = []

async function decide(orgId: string, approvalId: string, decision: string, by: Actor) {
  const found = waiting.get(approvalId)
  if (found === undefined || found.orgId !== orgId) throw notFound('approval')
  if (found.decidedBy !== null) {
    throw new AppError('CONFLICT', `It was decided by ${found.decidedBy} already.`)
  }
  found.decidedBy = by.principalId
  decisions.push({ approvalId, decision, by })
  return { tool: 'jira.createIssue', state: 'approved', decidedBy: by.principalId }
}

const { byId, byPlace } = makeFindIntegration(database.pool)
const unused = () => Promise.reject(new Error('nobody says anything here'))
const app = makeRouter()
app.use(requestLog({ log, meter: NO_METER, isTrusted: () => false }))
app.onError(makeOnError(log))
app.route(
  '/',
  slackInboundRoutes({
    slackRequests: makeSlackRequests({
      config: {
        SLACK_SIGNING_SECRET: new Secret(slack.app.signingSecret),
        SLACK_WEBHOOK_HOSTS: [slack.webhookHost],
      },
      findOwn: byId,
      signingSecretOf: async ({ orgId, id, credentials }) =>
        (await openCredentials(keyring, orgId, id, credentials)).signingSecret,
    }),
    fromSlack: { message: unused, command: unused, ended: unused },
    decideFromSlack: makeSlackClicks({
      byPlace,
      decide,
      postTo: makePostTo(makeCallApp({ egress, domainsOf: () => Promise.resolve(null) })),
      nowMs: Date.now,
      log,
    }),
  }),
)
const server = stack.use(await listen('127.0.0.1', 0, app.fetch, { log }))
const interactions = `${server.url}/inbound/slack/interactions`

/** An org, its workspace, and a call that waits there, in a thread. */
async function openPlace({ config = { approvers: ['UBEA', 'UCAT'] }, isOwn = false } = {}) {
  slack.connect({ interactions })
  const orgId = await database.addOrg()
  const team = slack.addTeam(`Team of ${orgId}`)
  const channel = slack.addChannel(team, 'general')
  const { token } = slack.install(team, ['chat:write'])
  const id = randomUUID()
  const own = isOwn ? { signingSecret: slack.app.signingSecret } : {}
  const sealed = await sealCredentials(keyring, orgId, id, own)
  await database.pool.query(
    `insert into patchbay.org_integrations
       (id, org_id, provider_key, name, config, external_id, credentials, credential_fields)
     values ($1, $2, 'slack', 'Slack', $3, $4, $5, $6)`,
    [id, orgId, config, isOwn ? null : team.id, sealed.credentials, sealed.credentialFields],
  )
  const say = async (body: string) => {
    const headers = {
      authorization: `Bearer ${token.value}`,
      'content-type': 'application/json; charset=utf-8',
    }
    const answer = await fetch(`${slack.apiUrl}chat.postMessage`, { method: 'POST', headers, body })
    const { ok, ts } = JSON.parse(await answer.text())
    expect(ok).toBe(true)
    return String(ts)
  }
  const thread = await say(JSON.stringify({ channel: channel.id, text: 'a question' }))
  const approvalId = randomUUID()
  waiting.set(approvalId, { orgId, decidedBy: null })
  const data = {
    approvalId,
    tool: 'jira.createIssue',
    userId: 'slack:UANN',
    source: 'slack',
    arguments: { title: 'Printer <on> fire' },
    expiresAt: '2026-01-31T13:00:00.000Z',
  }
  const event = {
    id: randomUUID(),
    orgId,
    type: 'tool.approval.requested',
    conversationId: 'c-1',
    data: JSON.stringify(data),
    occurredAt: '2026-01-31T12:00:00.000Z',
  }
  await say(renderEvent(event, { integrationId: id, channel: channel.id }, thread))
  const request = () => slack.messagesIn(channel)[1] ?? never()
  return { orgId, team, channel, id, approvalId, thread, request }
}

function never(): Message {
  throw new Error('the request is not there')
}

const decisionsOf = (approvalId: string) =>
  decisions.filter((decision) => decision.approvalId === approvalId)

const toldTo = (channelId: string, userId: string) =>
  slack.messages.filter(
    (message) => message.channelId === channelId && message.ephemeralTo === userId,
  )

test('an approver’s click is decided before it is acknowledged, and takes the buttons away', async () => {
  const { channel, approvalId, thread, request } = await openPlace()
  const before = request()
  expect(before.buttons).toMatchObject([
    { actionId: 'patchbay.approve', label: 'Approve', value: approvalId },
    { actionId: 'patchbay.deny', label: 'Deny', value: approvalId, asks: null },
  ])
  const clicked = await slack.clickButton({
    message: before,
    user: 'UBEA',
    actionId: 'patchbay.approve',
  })
  expect(clicked).toMatchObject({ problem: null, sent: { status: 200, answer: '' } })
  expect(clicked.sent.durationMs).toBeLessThan(3000)
  expect(decisionsOf(approvalId)).toEqual([
    {
      approvalId,
      decision: 'approve',
      by: { principalId: 'slack:UBEA', address: null, requestId: expect.any(String) },
    },
  ])
  await until('the buttons are gone', () => request().buttons.length === 0)
  const after = request()
  expect(after).toMatchObject({ ts: before.ts, threadTs: thread, pings: ['@UBEA'] })
  expect(after.shown).toContain('"title": "Printer <on> fire"')
  expect(after.shown).toMatch(/Approved by @UBEA, \d{4}-\d\d-\d\d \d\d:\d\d UTC$/)
  expect(slack.messagesIn(channel)).toHaveLength(2)
})

test('the other button denies', async () => {
  const { approvalId, request } = await openPlace()
  await slack.clickButton({ message: request(), user: 'UBEA', actionId: 'patchbay.deny' })
  expect(decisionsOf(approvalId)).toMatchObject([{ decision: 'deny' }])
  await until('the buttons are gone', () => request().shown.includes('Denied by @UBEA'))
})

test('of two who click at once one decides, and the other is told, alone and in the thread', async () => {
  const { channel, approvalId, thread, request } = await openPlace()
  const message = request()
  await Promise.all([
    slack.clickButton({ message, user: 'UBEA', actionId: 'patchbay.approve' }),
    slack.clickButton({ message, user: 'UCAT', actionId: 'patchbay.deny' }),
  ])
  const [decision, ...others] = decisionsOf(approvalId)
  expect(others).toEqual([])
  const first = decision?.by.principalId ?? ''
  const second = first === 'slack:UBEA' ? 'UCAT' : 'UBEA'
  await until('the other is told', () => toldTo(channel.id, second).length === 1)
  expect(toldTo(channel.id, second)).toMatchObject([
    { shown: `It was decided by ${first} already.`, threadTs: thread },
  ])
  await until('the buttons are gone', () => request().buttons.length === 0)
})

test('who is not named decides nothing, is told so, and the buttons stay', async () => {
  const { channel, approvalId, request } = await openPlace()
  const clicked = await slack.clickButton({
    message: request(),
    user: 'UEVE',
    actionId: 'patchbay.approve',
  })
  expect(clicked.problem).toBeNull()
  await until('they are told', () => toldTo(channel.id, 'UEVE').length === 1)
  expect(toldTo(channel.id, 'UEVE')[0]?.shown).toContain('You may not decide tool calls')
  expect(decisionsOf(approvalId)).toEqual([])
  expect(request().buttons).toHaveLength(2)
})

test('where nobody is named, nobody decides', async () => {
  const { channel, approvalId, request } = await openPlace({ config: { approvers: [] } })
  await slack.clickButton({ message: request(), user: 'UBEA', actionId: 'patchbay.deny' })
  await until('they are told', () => toldTo(channel.id, 'UBEA').length === 1)
  expect(toldTo(channel.id, 'UBEA')[0]?.shown).toContain('Nobody can decide tool calls from Slack')
  expect(decisionsOf(approvalId)).toEqual([])
})

test('somebody of a workspace that shares the channel decides nothing', async () => {
  const { channel, approvalId, request } = await openPlace()
  const userTeamId = slack.addTeam('Guests').id
  const click = { message: request(), user: 'UBEA', actionId: 'patchbay.approve', userTeamId }
  await slack.clickButton(click)
  await until('they are told', () => toldTo(channel.id, 'UBEA').length === 1)
  expect(decisionsOf(approvalId)).toEqual([])
})

test('a call of another org does not exist', async () => {
  const theirs = await openPlace()
  const ours = await openPlace()
  // As if a message of ours had their id on its button.
  const blocks = JSON.parse(
    JSON.stringify(ours.request().blocks).replaceAll(ours.approvalId, theirs.approvalId),
  )
  const message = { ...ours.request(), blocks }
  await slack.clickButton({ message, user: 'UBEA', actionId: 'patchbay.approve' })
  await until('they are told', () => toldTo(ours.channel.id, 'UBEA').length === 1)
  expect(toldTo(ours.channel.id, 'UBEA')[0]?.shown).toBe('No such approval.')
  expect(decisionsOf(theirs.approvalId)).toEqual([])
})

test('an app of the org’s own names its integration', async () => {
  const { id, approvalId, request } = await openPlace({ isOwn: true })
  slack.connect({ interactions: `${interactions}?integrationId=${id}` })
  await slack.clickButton({ message: request(), user: 'UCAT', actionId: 'patchbay.approve' })
  expect(decisionsOf(approvalId)).toMatchObject([{ by: { principalId: 'slack:UCAT' } }])
  await until('the buttons are gone', () => request().buttons.length === 0)
})

test('what Slack does not take afterwards undoes nothing', async () => {
  const { approvalId, request } = await openPlace()
  slack.failNext({ path: '/actions/', status: 500 })
  const clicked = await slack.clickButton({
    message: request(),
    user: 'UBEA',
    actionId: 'patchbay.approve',
  })
  expect(clicked.problem).toBeNull()
  expect(decisionsOf(approvalId)).toHaveLength(1)
})

test('a button of nobody’s, or of no call, decides nothing', async () => {
  const { approvalId, request } = await openPlace()
  const change = (from: string, to: string) => {
    const message = request()
    return {
      ...message,
      blocks: JSON.parse(JSON.stringify(message.blocks).replaceAll(from, to)),
    }
  }
  const other = change('patchbay.approve', 'somebody.else')
  const ignored = await slack.clickButton({
    message: other,
    user: 'UBEA',
    actionId: 'somebody.else',
  })
  expect(ignored.sent.status).toBe(200)
  const odd = change(approvalId, 'no id')
  const refused = await slack.clickButton({
    message: odd,
    user: 'UBEA',
    actionId: 'patchbay.approve',
  })
  expect(refused.sent.status).toBe(400)
  expect(decisionsOf(approvalId)).toEqual([])
})

test('a click whose answer would go elsewhere than to Slack is refused, signed as it is', async () => {
  const { team, approvalId } = await openPlace()
  const payload = {
    type: 'block_actions',
    team: { id: team.id },
    api_app_id: slack.app.id,
    user: { id: 'UBEA', team_id: team.id },
    actions: [{ action_id: 'patchbay.approve', value: approvalId }],
    response_url: 'https://hooks.slack.com.evil.example/actions/1',
    trigger_id: '1.2.3',
  }
  const body = new URLSearchParams({ payload: JSON.stringify(payload) }).toString()
  const atS = Math.floor(Date.now() / 1000)
  const post = (signature: string) =>
    fetch(interactions, {
      method: 'POST',
      body,
      headers: {
        'content-type': 'application/x-www-form-urlencoded',
        'x-slack-request-timestamp': String(atS),
        'x-slack-signature': signature,
      },
    })
  expect((await post(signV0(slack.app.signingSecret, atS, body))).status).toBe(400)
  expect((await post(signV0('another secret', atS, body))).status).toBe(401)
  expect(decisionsOf(approvalId)).toEqual([])
})
