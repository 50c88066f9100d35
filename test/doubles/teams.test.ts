import { createHmac } from 'node:crypto'
import { expect, test } from 'vitest'
import { openReceiver } from '../fixtures/receiver.ts'
import { openTeams } from './teams.ts'

const block = (text: string) => ({ type: 'TextBlock', text, wrap: true })

function message(body: object[], more: object = {}): object {
  const content = {
    $schema: 'http://adaptivecards.io/schemas/adaptive-card.json',
    type: 'AdaptiveCard',
    version: '1.4',
    msteams: { width: 'Full' },
    body,
    ...more,
  }
  const contentType = 'application/vnd.microsoft.card.adaptive'
  return { type: 'message', attachments: [{ contentType, contentUrl: null, content }] }
}

async function post(url: string, body: unknown, signal?: AbortSignal) {
  const response = await fetch(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: typeof body === 'string' ? body : JSON.stringify(body),
    ...(signal === undefined ? {} : { signal }),
  })
  return { status: response.status, text: await response.text() }
}
const codeOf = ({ text }: { text: string }) => JSON.parse(text).error.code

test('a card in its envelope is accepted with an empty 202, and people see its text', async () => {
  await using teams = await openTeams()
  const flow = teams.createFlow()
  const body = [block('**Answer** to [Ada](https://example.com)'), block('a \\* b &lt;at>\n- x')]
  expect(await post(flow.url, message(body))).toEqual({ status: 202, text: '' })
  expect(flow.cards).toMatchObject([
    {
      text: 'Answer to Ada\na * b <at>\n- x',
      links: [{ label: 'Ada', url: 'https://example.com' }],
      mentions: [],
      version: '1.4',
      oddities: [],
    },
  ])
  expect(flow.answers).toEqual([202])
})

test('what a card does badly is told: another version, HTML, a ping', async () => {
  await using teams = await openTeams()
  const flow = teams.createFlow()
  const entities = [{ type: 'mention', text: '<at>Ada</at>', mentioned: { id: '1', name: 'Ada' } }]
  await post(
    flow.url,
    message([{ type: 'Container', items: [block('hi <at>Ada</at>')] }], {
      version: '1.5',
      msteams: { entities },
    }),
  )
  expect(flow.cards[0]).toMatchObject({ mentions: ['<at>Ada</at>'], version: '1.5' })
  expect(flow.cards[0]?.oddities).toEqual([
    expect.stringContaining('version 1.5'),
    expect.stringContaining('HTML in a text'),
  ])
})

test.each([
  ['a bare card', { type: 'AdaptiveCard', version: '1.4', body: [block('x')] }],
  ['a text', { text: 'x' }],
  ['a card without anything in it', message([])],
  ['no JSON', 'hello'],
])('%s is refused with 400', async (_, body) => {
  await using teams = await openTeams()
  const flow = teams.createFlow()
  expect((await post(flow.url, body)).status).toBe(400)
  expect(flow.cards).toEqual([])
})

test('28 KB are taken, a byte more is too large', async () => {
  await using teams = await openTeams()
  const flow = teams.createFlow()
  const rest = 28 * 1024 - JSON.stringify(message([block('')])).length
  expect((await post(flow.url, message([block('x'.repeat(rest))]))).status).toBe(202)
  expect(await post(flow.url, message([block('x'.repeat(rest + 1))]))).toEqual({
    status: 413,
    text: 'request entity too large',
  })
})

test('the fifth request of a second is throttled, and each flow counts for itself', async () => {
  await using teams = await openTeams()
  const [flow, other] = [teams.createFlow(), teams.createFlow()]
  for (let n = 0; n < 5; n += 1) await post(flow.url, message([block('x')]))
  expect(flow.answers).toEqual([202, 202, 202, 202, 429])
  expect((await post(other.url, message([block('x')]))).status).toBe(202)
})

test.each([
  ['without its signature', (url: string) => url.replace(/&sig=.*$/, '')],
  ['with another case of %2F', (url: string) => url.replace('%2F', '%2f')],
  ['with %2F decoded', (url: string) => url.replace('%2F', '/')],
  [
    'in another order',
    (url: string) => url.replace('?api-version=1&', '?').concat('&api-version=1'),
  ],
])('a query %s does not hold', async (_, change) => {
  await using teams = await openTeams()
  const flow = teams.createFlow()
  const answer = await post(change(flow.url), message([block('x')]))
  expect(answer.status).toBe(401)
  expect(codeOf(answer)).toBe('InvalidAuthorization')
})

test.each([
  ['off', 400, 'WorkflowTriggerIsNotEnabled'],
  ['deleted', 404, 'WorkflowNotFound'],
  ['tenant only', 401, 'DirectApiAuthorizationRequired'],
] as const)('a flow that is %s answers %i %s', async (state, status, code) => {
  await using teams = await openTeams()
  const flow = teams.createFlow()
  flow.state = state
  const answer = await post(flow.url, message([block('x')]))
  expect(answer.status).toBe(status)
  expect(codeOf(answer)).toBe(code)
  flow.state = 'on'
  expect((await post(flow.url, message([block('x')]))).status).toBe(202)
})

test('fails and hangs when told, and then goes on', async () => {
  await using teams = await openTeams()
  const flow = teams.createFlow()
  teams.failNext({ status: 429, headers: { 'retry-after': '2' }, times: 2 })
  teams.hangNext()
  const send = () => post(flow.url, message([block('x')]), AbortSignal.timeout(200))
  expect((await send()).status).toBe(429)
  expect((await send()).status).toBe(429)
  await expect(send()).rejects.toThrow('timeout')
  expect((await send()).status).toBe(202)
})

test('a mention is an activity, signed over its bytes with the decoded token, and its answer is shown', async () => {
  await using teams = await openTeams()
  await using ours = await openReceiver((response) =>
    response.end('{"type":"message","text":"It is 7."}'),
  )
  const webhook = teams.createOutgoingWebhook({ name: 'Assistant', url: `${ours.url}/in` })
  const sent = await webhook.mention({ text: 'what is 3 < 4?' })
  const [request] = ours.requests
  const key = Buffer.from(webhook.securityToken, 'base64')
  const signature = createHmac('sha256', key)
    .update(request?.body ?? '')
    .digest('base64')
  expect(request).toMatchObject({
    url: '/in',
    headers: { authorization: `HMAC ${signature}` },
  })
  expect(JSON.parse(request?.body ?? '')).toMatchObject({
    type: 'message',
    id: sent.activityId,
    text: '<at>Assistant</at> what is 3 &lt; 4?\n',
    from: { name: 'Ada Lovelace' },
    conversation: { id: `${webhook.channelId};messageid=${sent.activityId}` },
  })
  expect(sent).toMatchObject({ status: 200, isLate: false, shown: 'It is 7.' })
  expect(webhook.sent).toEqual([sent])
})

test('a reply is in the conversation of the first mention, and the same activity can come again', async () => {
  await using teams = await openTeams()
  await using ours = await openReceiver((response) => response.end('{}'))
  const webhook = teams.createOutgoingWebhook({ name: 'Assistant', url: ours.url })
  const first = await webhook.mention({ text: 'one' })
  const reply = await webhook.mention({ text: 'two', conversation: first.conversationId })
  await webhook.sendAgain(first)
  expect(reply.conversationId).toBe(first.conversationId)
  expect(reply.activityId).not.toBe(first.activityId)
  expect(ours.requests[2]).toMatchObject({
    body: ours.requests[0]?.body,
    headers: { authorization: first.authorization },
  })
})

test.each([
  ['that is no message', 200, '{"text":"hi"}'],
  ['that is no JSON', 200, 'hi'],
  ['that is an error', 500, '{"type":"message","text":"hi"}'],
])('an answer %s is not shown', async (_, status, body) => {
  await using teams = await openTeams()
  await using ours = await openReceiver((response) => response.writeHead(status).end(body))
  const webhook = teams.createOutgoingWebhook({ name: 'Assistant', url: ours.url })
  expect(await webhook.mention({ text: 'x' })).toMatchObject({ status, shown: null })
})

test('an answer that takes longer than Teams waits is late, and is not shown', async () => {
  await using teams = await openTeams({ answerWithinMs: 100 })
  await using ours = await openReceiver(() => undefined)
  const webhook = teams.createOutgoingWebhook({ name: 'Assistant', url: ours.url })
  const sent = await webhook.mention({ text: 'x' })
  expect(sent).toMatchObject({ status: null, isLate: true, shown: null })
  expect(sent.durationMs).toBeGreaterThanOrEqual(95)
})
