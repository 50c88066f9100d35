import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import type { EventRecord } from '../../core/event.ts'
import { parseAllowList } from '../../egress/allow-list.ts'
import { makeReach } from '../../egress/reach.ts'
import { judgeUrl } from '../../egress/url.ts'
import { makeTeams } from './teams.ts'

const teams = makeTeams({
  workflowHosts: ['*.environment.api.powerplatform.com', '*.logic.azure.com', '127.0.0.1'],
})
const HOST = 'https://default0.1f.environment.api.powerplatform.com:443'
const PATH = '/powerautomate/automations/direct/workflows/ab12/triggers/manual/paths/invoke'
const QUERY = '?api-version=1&sp=%2Ftriggers%2Fmanual%2Frun&sv=1.0&sig=Wq-3_secret'
const WORKFLOW = HOST + PATH + QUERY
const TOKEN = Buffer.alloc(32, 7).toString('base64')

const problemOf = (url: string) => teams.urlProblem(new URL(url))

/** What is kept and called for a URL that an admin pastes. */
function called(url: string) {
  const none = parseAllowList([])
  const reach = makeReach({
    allow: none,
    allowInternal: none,
    deny: none,
    isOwnAddress: () => false,
  })
  const verdict = judgeUrl(url, { isHttpAllowed: false, reach: reach.public, domains: null })
  if (!verdict.isAllowed) throw new Error(verdict.reason)
  return verdict.target
}

describe('the URL of a workflow', () => {
  test.each([
    ['as Teams shows it today', WORKFLOW],
    [
      'of Logic Apps',
      'https://prod-12.westeurope.logic.azure.com:443/workflows/ab/triggers/manual/paths/invoke?api-version=2016-06-01&sp=%2Ftriggers%2Fmanual%2Frun&sv=1.0&sig=x',
    ],
    ['on a host that the operator names', `http://127.0.0.1:4000${PATH}${QUERY}`],
  ])('%s is taken', (_, url) => {
    expect(problemOf(url)).toBeNull()
  })

  test.each([
    ['a connector', 'https://acme.webhook.office.com/webhookb2/x/IncomingWebhook/y/z'],
    ['an older connector', 'https://outlook.office.com/webhook/x/IncomingWebhook/y/z'],
    ['a connector with a dot at its end', 'https://acme.webhook.office.com./webhookb2/x'],
  ])('%s is refused with what to do instead', (_, url) => {
    expect(problemOf(url)).toMatch(/Microsoft has switched off: create a workflow .* paste its URL/)
  })

  test.each([
    [
      'of another host',
      `https://example.com${PATH}${QUERY}`,
      'must be the URL of a Teams workflow',
    ],
    [
      'of a host that only ends alike',
      `https://evilenvironment.api.powerplatform.com${PATH}${QUERY}`,
      'must be the URL of a Teams workflow',
    ],
    [
      'of a host that only begins alike',
      `https://x.environment.api.powerplatform.com.evil.test${PATH}${QUERY}`,
      'must be the URL of a Teams workflow',
    ],
    ['of a page', `${HOST}/manage/flows/ab${QUERY}`, 'is not the trigger'],
    ['without a signature', `${HOST}${PATH}?api-version=1&sv=1.0`, 'lacks its signature'],
    ['with an empty signature', `${HOST}${PATH}?api-version=1&sig=`, 'lacks its signature'],
  ])('one %s is refused by what is wrong, and not repeated', (_, url, words) => {
    expect(problemOf(url)).toContain(words)
    expect(problemOf(url)).not.toContain('secret')
  })

  test.each([
    QUERY,
    '?sig=a%2fb%2Fc&sp=%2ftriggers&api-version=1',
    '?sig=a+b~c.d_e-f=&x=%20%7e|{}^`&&&a=1&a=2',
    '?api-version=1&sig=%e2%82%ac&empty=',
  ])('the query %s is called byte for byte', (query) => {
    const { href, path } = called(HOST + PATH + query)
    expect(problemOf(href)).toBeNull()
    expect(path).toBe(PATH + query)
    expect(teams.open({ url: href, integrationId: 'i', credentials: {} }).url).toBe(href)
    expect(called(href)).toMatchObject({ href, path })
  })

  test.each(['"', "'", '<', '>'])(
    'a %s in the query, which URL parsers rewrite, is refused',
    (sign) => {
      const pasted = `${WORKFLOW}&x=${sign}`
      expect(called(pasted).path).not.toBe(`${PATH}${QUERY}&x=${sign}`)
      expect(problemOf(called(pasted).href)).toContain('quotes or angle brackets')
    },
  )

  test('is shown without path and query', () => {
    expect(teams.maskUrl(new URL(WORKFLOW))).toBe(
      'https://default0.1f.environment.api.powerplatform.com/…',
    )
  })

  test('its signature does not come into the history, encoded or not', () => {
    const url = `${HOST}${PATH}?sig=a%2Fsecret&sv=1.0`
    const { secrets } = teams.open({ url, integrationId: 'i', credentials: {} })
    expect(secrets).toEqual(['a%2Fsecret', 'a/secret'])
  })
})

describe('the security token', () => {
  const parse = (outgoingWebhookToken: unknown) =>
    teams.credentials.safeParse({ outgoingWebhookToken })

  test('is taken as Teams shows it, and may be missing', () => {
    expect(parse(TOKEN).data).toEqual({ outgoingWebhookToken: TOKEN })
    expect(teams.credentials.parse({})).toEqual({})
  })

  test.each([
    ['a text that is no base64', 'not a token at all!'],
    ['base64url', Buffer.alloc(33, 0xff).toString('base64url')],
    ['under 16 bytes', Buffer.alloc(15, 7).toString('base64')],
    ['one that lost its last character', TOKEN.slice(0, -1)],
    ['one with a space at its end', `${TOKEN} `],
  ])('%s is refused in words', (_, token) => {
    const { error } = parse(token)
    expect(error?.issues).toMatchObject([
      {
        path: ['outgoingWebhookToken'],
        message: expect.stringContaining('must be the security token that Teams showed'),
      },
    ])
  })

  test('is marked as a secret', () => {
    const schema = z.toJSONSchema(teams.credentials, { io: 'input' })
    expect(schema.properties?.outgoingWebhookToken).toMatchObject({ 'x-secret': true })
  })
})

describe('verify', () => {
  const verify = (credentials: Record<string, string>) =>
    teams.verify({ credentials, config: {} }, () => {
      throw new Error('nothing is to be called')
    })

  test('sends nothing, and says how to try a workflow', async () => {
    expect(await verify({ outgoingWebhookToken: TOKEN })).toMatchObject({
      ok: true,
      detail: expect.stringContaining('Nothing was sent'),
    })
  })

  test('says what is missing for people to ask', async () => {
    const { ok, detail } = await verify({})
    expect(ok).toBe(true)
    expect(detail).toContain('until you paste one, people in Teams cannot ask')
  })

  test('fails for a token that cannot be one', async () => {
    expect(await verify({ outgoingWebhookToken: 'short' })).toMatchObject({
      ok: false,
      detail: expect.stringContaining('must be the security token'),
    })
  })
})

test('a lane sends unsigned cards to the URL itself, four a second, in the order of a conversation', () => {
  const event: EventRecord = {
    id: '01a20908-8583-7137-8281-51ec2bfbb9f9',
    orgId: 'acme',
    type: 'order.created',
    conversationId: null,
    data: '{"n":1}',
    occurredAt: '2026-01-31T12:00:00.000Z',
  }
  const sender = teams.open({ url: WORKFLOW, integrationId: 'i', credentials: {} })
  expect(sender).toMatchObject({
    url: WORKFLOW,
    headers: [],
    channel: null,
    maxAnswerBytes: 16_384,
  })
  const { body, isSigned } = sender.render(event, null)
  expect(isSigned).toBe(false)
  expect(JSON.parse(body).attachments).toHaveLength(1)
  expect(teams.needsCredentials(WORKFLOW)).toBe(false)
  expect(teams.defaults).toEqual({ rateLimit: { perSecond: 4 }, ordering: 'conversation' })
})
