import { createHmac } from 'node:crypto'
import { afterAll, describe, expect, test } from 'vitest'
import { signV0 } from '../doubles/slack/signature.ts'
import { openSlack } from '../doubles/slack.ts'
import { signed } from './signed-message.ts'
import {
  beginInstall,
  connect,
  consent,
  install as installSlack,
  slackSettings,
} from './slack-workspace.ts'
import { openStory, type StoryOrg } from './story.ts'

const stack = new AsyncDisposableStack()
afterAll(() => stack.disposeAsync())

const slack = stack.use(await openSlack())
const env = { ...slackSettings(slack), RATE_LIMIT_INTEGRATION: '3' }
const story = stack.use(await openStory({ env, isWorker: false }))
connect(slack, story)

describe('an install by OAuth', () => {
  const begin = async (name: string) => {
    const org = await story.addOrg()
    const team = slack.addTeam(name)
    const place = { team, channel: slack.addChannel(team, 'general') }
    return { org, place, begun: await beginInstall(story, org) }
  }
  const asSuperadmin = (method: string, org: StoryOrg, json?: object) =>
    story.call(method, `${org.path}/members/${encodeURIComponent(`owner of ${org.id}`)}`, {
      token: story.superadmin,
      json,
    })

  test.each([
    ['is no member any more', 'DELETE', undefined],
    ['may only watch now', 'PUT', { role: 'viewer' }],
  ])('is not finished by who %s', async (name, method, json) => {
    const { org, place, begun } = await begin(name)
    expect((await asSuperadmin(method, org, json)).status).toBe(200)
    const page = await consent(slack, story, begun, place)
    expect(page).toMatchObject({ status: 400, text: expect.stringContaining('Begin the install') })
    const { rows } = await story.pool.query(
      `select from patchbay.org_integrations where org_id = $1 and provider_key = 'slack'`,
      [org.id],
    )
    expect(rows).toEqual([])
  })
})

describe('the end of an install', () => {
  test.each(['app_uninstalled', 'tokens_revoked'])(
    'that %s tells of late does not end the install that came after it',
    async (type) => {
      const org = await story.addOrg()
      const team = slack.addTeam(type)
      const place = { team, channel: slack.addChannel(team, 'general') }
      const { id } = await installSlack(slack, story, org, place)
      const tell = async (agoS: number) => {
        const nowS = Math.floor(Date.now() / 1000)
        const body = JSON.stringify({
          type: 'event_callback',
          team_id: team.id,
          api_app_id: slack.app.id,
          event_id: `Ev${agoS}`,
          event_time: nowS - agoS,
          event: { type, tokens: { bot: ['U1'] } },
        })
        const headers = {
          'content-type': 'application/json',
          'x-slack-request-timestamp': `${nowS}`,
          'x-slack-signature': signV0(slack.app.signingSecret, nowS, body),
        }
        const sent = { text: body, headers }
        expect(await story.call('POST', '/inbound/slack/events', sent)).toMatchObject({
          status: 200,
        })
        return (await org.call('GET', `${org.path}/integrations/${id}`)).body.integration.status
      }
      expect(await tell(60)).toBe('connected')
      expect(await tell(0)).toBe('disconnected')
    },
  )
})

test.each(['events', 'commands', 'interactions'])(
  'what names no integration that could be is not signed: slack/%s',
  async (kind) => {
    for (const id of ['x', '', "'"]) {
      const url = `/inbound/slack/${kind}?integrationId=${encodeURIComponent(id)}`
      const answer = await story.call('POST', url, { text: '{}' })
      expect([id, answer.status]).toEqual([id, 401])
    }
  },
)

describe('a program’s message', () => {
  async function install(org: StoryOrg) {
    const { body } = await org.call('POST', `${org.path}/integrations`, {
      providerKey: 'generic-webhook',
      name: 'Mine',
    })
    const conversation = await org.call('POST', `${org.path}/conversations`, {})
    return {
      url: `${story.url}/inbound/${body.integration.id}`,
      secret: body.inboundSecret as string,
      conversationId: conversation.body.conversation.id as string,
    }
  }
  const post = async (url: string, headers: Record<string, string>, body: Buffer) => {
    const type = { 'content-type': 'application/json' }
    return (await fetch(url, { method: 'POST', headers: { ...type, ...headers }, body })).status
  }

  test('is not kept out by strangers who only know the address', async () => {
    const { url, secret, conversationId } = await install(await story.addOrg())
    const body = Buffer.from(JSON.stringify({ conversationId, content: 'hi' }))
    for (let sent = 0; sent < 5; sent += 1) {
      expect(await post(url, {}, body)).toBe(401)
    }
    const statuses = []
    for (const id of ['1', '2', '3', '4']) {
      statuses.push(await post(url, signed(secret, id, body), body))
    }
    expect(statuses).toEqual([202, 202, 202, 429])
  })

  test('is checked byte by byte, whatever a reader of text makes of them', async () => {
    const { url, secret, conversationId } = await install(await story.addOrg())
    const text = JSON.stringify({ conversationId, content: 'hi' })
    const withMark = Buffer.concat([Buffer.from([0xef, 0xbb, 0xbf]), Buffer.from(text)])
    // The signature is of the body without the mark.
    const mac = createHmac('sha256', secret).update(text).digest('hex')
    expect(await post(url, { 'x-ai-chat-signature': mac }, withMark)).toBe(401)
    const noText = Buffer.concat([Buffer.from(text.slice(0, -2)), Buffer.from([0xff, 0x22, 0x7d])])
    expect(await post(url, signed(secret, '1', noText), noText)).toBe(400)
  })
})
