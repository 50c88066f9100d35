import { afterAll, describe, expect, test } from 'vitest'
import { openSlack } from '../doubles/slack.ts'
import { until } from '../fixtures/process.ts'
import {
  beginInstall,
  connect,
  consent,
  install,
  open,
  openWorkspace,
  PUBLIC_URL,
  say,
  slackSettings,
  statusOf,
} from './slack-workspace.ts'
import { openStory } from './story.ts'

const stack = new AsyncDisposableStack()
afterAll(() => stack.disposeAsync())

const slack = stack.use(await openSlack())
const story = stack.use(await openStory({ env: slackSettings(slack) }))
connect(slack, story)

describe('an install by OAuth', () => {
  test('posts what happens in the chat to the channel that was chosen, a thread per conversation', async () => {
    const { org, channel, path } = await openWorkspace(slack, story, 'Acme')
    const { body } = await org.call('GET', `${path}/webhooks`)
    expect(body.webhooks).toMatchObject([
      {
        url: `${slack.apiUrl}chat.postMessage?channel=${channel.id}`,
        eventTypes: ['chat.turn.completed'],
        content: 'full',
        rateLimit: { perSecond: 1 },
        ordering: 'conversation',
      },
    ])

    const first = await say(org, 'What is <!channel> & <b>?')
    await until('the turn is in the channel', () => slack.messagesIn(channel).length === 1)
    const [message] = slack.messagesIn(channel)
    expect(message).toMatchObject({ threadTs: null, pings: [], links: [] })
    expect(message?.shown).toContain('What is <!channel> & <b>?')
    await say(org, 'And what else?', first.conversationId)
    await until('the second is there', () => slack.messagesIn(channel).length === 2)
    expect(slack.messagesIn(channel)[1]?.threadTs).toBe(message?.ts)
    await say(org, 'Something different')
    await until('the other conversation is there', () => slack.messagesIn(channel).length === 3)
    expect(slack.messagesIn(channel)[2]?.threadTs).toBeNull()
  })

  test('is for the browser that began it, once, in time', async () => {
    const org = await story.addOrg()
    const team = slack.addTeam('Once')
    const place = { team, channel: slack.addChannel(team, 'general') }
    const begun = await beginInstall(story, org)
    const stolen = await consent(slack, story, { ...begun, cookie: '' }, place)
    expect(stolen).toMatchObject({ status: 400, text: expect.stringContaining('another browser') })
    // The state is used up by that.
    const late = await open(story, stolen.back, begun.cookie)
    expect(late).toMatchObject({ status: 400, text: expect.stringContaining('used already') })

    const again = await beginInstall(story, org)
    const done = await consent(slack, story, again, place)
    expect(done).toMatchObject({ status: 200, text: expect.stringContaining('Slack is connected') })
    const twice = await open(story, done.back, again.cookie)
    expect(twice).toMatchObject({ status: 400, text: expect.stringContaining('used already') })

    const old = await beginInstall(story, org)
    await story.pool.query(
      'update patchbay.app_installs set expires_at = now() where org_id = $1',
      [org.id],
    )
    const tooLate = await consent(slack, story, old, place)
    expect(tooLate).toMatchObject({ status: 400, text: expect.stringContaining('ten minutes') })
    const canceled = await beginInstall(story, org)
    const page = await consent(slack, story, canceled, { ...place, isGiven: false })
    expect(page).toMatchObject({ status: 400, text: expect.stringContaining('Cancel') })
    const { rows } = await story.pool.query(
      `select from patchbay.org_integrations where org_id = $1 and provider_key = 'slack'`,
      [org.id],
    )
    expect(rows).toHaveLength(1)
  })

  test('by a link shows in any browser what it will do and for whom, and serves once', async () => {
    const org = await story.addOrg()
    const team = slack.addTeam('By link')
    const place = { team, channel: slack.addChannel(team, 'general') }
    const { body } = await story.call('GET', `/integrations/slack/install?orgId=${org.id}`, {
      token: org.token,
      headers: { accept: 'application/json' },
    })
    expect(body.link).toContain(`${PUBLIC_URL}/integrations/slack/start?ticket=`)
    const start = new URL(body.link.replace(PUBLIC_URL, story.url))
    const page = await fetch(start)
    expect([page.status, await page.text()]).toEqual([
      200,
      expect.stringMatching(new RegExp(`connected to <b>${org.id}</b>.*Adds the slash command`)),
    ])
    const ticket = start.searchParams.get('ticket') ?? ''
    const press = () =>
      fetch(`${story.url}/integrations/slack/start`, {
        method: 'POST',
        body: new URLSearchParams({ ticket }),
        redirect: 'manual',
      })
    // A link is no way back from Slack.
    const mistaken = await open(
      story,
      `${PUBLIC_URL}/integrations/slack/callback?state=${ticket}`,
      '',
    )
    expect(mistaken.status).toBe(400)
    const pressed = await press()
    expect(pressed.status).toBe(303)
    const cookie = pressed.headers.get('set-cookie')?.split(';')[0] ?? ''
    const begun = { url: pressed.headers.get('location') ?? '', cookie }
    const done = await consent(slack, story, begun, place)
    expect([done.status, done.text]).toEqual([200, expect.stringContaining('Slack is connected')])
    expect((await press()).status).toBe(400)
    expect((await fetch(start)).status).toBe(400)
  })

  test('of a workspace that another org has is refused, and says what to do', async () => {
    const { team, channel } = await openWorkspace(slack, story, 'Taken')
    const other = await story.addOrg()
    const page = await consent(slack, story, await beginInstall(story, other), { team, channel })
    expect(page).toMatchObject({
      status: 400,
      text: expect.stringContaining('connected to another organization'),
    })
  })

  test('again keeps subscriptions and history, and what was missed can be sent', async () => {
    const { org, team, channel, integration, path } = await openWorkspace(slack, story, 'Again')
    await slack.uninstall(team)
    await until('it is disconnected', async () => {
      return (await statusOf(org, path)).status === 'disconnected'
    })
    // Slack tells it twice, as a revoked token too, in no order.
    expect(await statusOf(org, path)).toMatchObject({
      statusDetail: expect.stringMatching(
        /(removed from the|revoked in) Slack.*: install it again\.$/,
      ),
    })
    const since = new Date(Date.now() - 1000).toISOString()
    await say(org, 'While it was away')
    const before = slack.messagesIn(channel).length
    const back = await install(slack, story, org, { team, channel })
    expect(back.id).toBe(integration.id)
    const { webhooks } = (await org.call('GET', `${path}/webhooks`)).body
    expect(webhooks).toHaveLength(1)
    const wanted = { since, statuses: ['missed'] }
    const recover = `${path}/webhooks/${webhooks[0].id}/recover`
    expect((await org.call('POST', recover, wanted)).status).toBe(202)
    await until('what it missed is there', () => slack.messagesIn(channel).length === before + 1)
    expect(await org.call('POST', `${path}/verify`)).toMatchObject({
      status: 200,
      body: { ok: true, detail: expect.stringContaining('Again') },
    })
  })
})

test('an org that may have no more webhooks is connected all the same, and told that its channel is not', async () => {
  const env = { ...slackSettings(slack), WEBHOOKS_PER_ORG: '1' }
  await using full = await openStory({ env, isWorker: false })
  const org = await full.addOrg()
  await org.subscribe('http://127.0.0.1:9/hook')
  const team = slack.addTeam('Full')
  const place = { team, channel: slack.addChannel(team, 'general') }
  const page = await consent(slack, full, await beginInstall(full, org), place)
  expect([page.status, page.text]).toEqual([
    200,
    expect.stringMatching(
      /Slack is connected.*Nothing is posted to a channel yet: .*WEBHOOKS_PER_ORG/,
    ),
  ])
  const { body } = await org.call('GET', `${org.path}/integrations`)
  expect(body.integrations.at(-1)).toMatchObject({ externalName: 'Full', status: 'connected' })
})
