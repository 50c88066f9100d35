import { afterAll, expect, test } from 'vitest'
import { openSlack } from '../doubles/slack.ts'
import { startPatchbay, until } from '../fixtures/process.ts'
import { install, slackSettings } from './slack-workspace.ts'
import { openStory } from './story.ts'

const stack = new AsyncDisposableStack()
afterAll(() => stack.disposeAsync())

/** Slack's clock: what it says of a token's end. */
let aheadMs = 0
const slack = stack.use(
  await openSlack({ app: { hasTokenRotation: true }, now: () => Date.now() + aheadMs }),
)
const story = stack.use(await openStory({ env: slackSettings(slack), isWorker: false }))
const env = { ...story.env, LOG_LEVEL: 'warn' }
const workers = [stack.use(startPatchbay('worker', env)), stack.use(startPatchbay('worker', env))]

test('a token that has run out is refreshed once, though two workers find out, and everything is delivered', async () => {
  const org = await story.addOrg()
  const team = slack.addTeam('Rotating')
  const channel = slack.addChannel(team, 'general')
  const other = slack.addChannel(team, 'random')
  const { id } = await install(slack, story, org, { team, channel })
  const webhooks = `${org.path}/integrations/${id}/webhooks`
  const url = `${slack.apiUrl}chat.postMessage?channel=`
  // As the channel of the install, for events that need no conversation; and at no pace, so that both workers are at it.
  for (const { id: channelId } of [channel, other]) {
    const made = await org.call('POST', webhooks, {
      url: url + channelId,
      eventTypes: ['story.*'],
      rateLimit: null,
    })
    expect(made.status).toBe(201)
  }
  const [before] = slack.tokensOf(team)
  aheadMs = 13 * 3_600_000
  slack.slowRefresh(1000)

  const events = await Promise.all(Array.from({ length: 4 }, () => org.emit()))
  await until('the token was refreshed', async () => slack.refreshes.length > 0)
  const made = async () => (await story.pool.query('select id from patchbay.delivery_queue')).rows
  await until('everything is delivered', async () => {
    for (const row of await made()) await story.makeDue(row.id)
    return (await made()).length === 0
  })
  for (const event of events) {
    for (const delivery of await org.deliveries(event)) {
      expect(delivery).toMatchObject({ status: 'delivered', attempts: 1 })
    }
  }
  expect(slack.refreshes).toMatchObject([{ isOk: true }])
  expect(slack.tokensOf(team)).not.toContain(before)
  const { body } = await org.call('GET', `${org.path}/integrations/${id}`)
  expect(body.integration).toMatchObject({ status: 'connected', statusDetail: null })
  expect(workers.map((worker) => worker.output()).join('')).not.toContain('xoxe')
})
