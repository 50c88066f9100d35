import { expect } from 'vitest'
import type { Channel, Team } from '../doubles/slack/world.ts'
import type { Slack } from '../doubles/slack.ts'
import type { Story, StoryOrg } from './story.ts'

/** Where browsers and Slack would reach us; a test maps it to the port it has. */
export const PUBLIC_URL = 'http://127.0.0.1:9'

/** The settings of a product whose Slack is this one. */
export function slackSettings(slack: Slack): Record<string, string> {
  return {
    PUBLIC_URL,
    SLACK_CLIENT_ID: slack.app.clientId,
    SLACK_CLIENT_SECRET: slack.app.clientSecret,
    SLACK_SIGNING_SECRET: slack.app.signingSecret,
    SLACK_API_URL: slack.apiUrl,
    SLACK_WEBHOOK_HOSTS: slack.webhookHost,
  }
}

/** Tells Slack where the product is. */
export function connect(slack: Slack, { url }: Pick<Story, 'url'>): void {
  slack.connect({
    events: `${url}/inbound/slack/events`,
    commands: `${url}/inbound/slack/commands`,
    interactions: `${url}/inbound/slack/interactions`,
  })
}

export interface Begun {
  readonly url: string
  readonly cookie: string
}

/** Asks for the way to the consent page, as the host's frontend does. */
export async function beginInstall(story: Story, org: StoryOrg): Promise<Begun> {
  const answer = await story.call('GET', `/integrations/slack/install?orgId=${org.id}`, {
    token: org.token,
    headers: { accept: 'application/json' },
  })
  expect(answer.status).toBe(200)
  const cookie = answer.headers.get('set-cookie')?.split(';')[0] ?? ''
  return { url: answer.body.url, cookie }
}

/** What a browser does at the consent page: agrees, and follows the way back. */
export async function consent(
  slack: Slack,
  story: Story,
  { url, cookie }: Begun,
  { team, channel, isGiven = true }: { team: Team; channel: Channel; isGiven?: boolean },
) {
  slack.answerConsent({ isGiven, teamId: team.id, channelId: channel.id, userId: 'UADMIN' })
  const agreed = await fetch(url, { redirect: 'manual' })
  expect(agreed.status).toBe(302)
  const back = agreed.headers.get('location') ?? ''
  expect(back.startsWith(`${PUBLIC_URL}/integrations/slack/callback?`)).toBe(true)
  return open(story, back, cookie)
}

/** Opens the way back in a browser that has this cookie. */
export async function open(story: Story, back: string, cookie: string) {
  const page = await fetch(back.replace(PUBLIC_URL, story.url), { headers: { cookie } })
  return { status: page.status, text: await page.text(), back }
}

/** The whole install. Gives the integration as the API shows it. */
export async function install(
  slack: Slack,
  story: Story,
  org: StoryOrg,
  place: { team: Team; channel: Channel },
) {
  const page = await consent(slack, story, await beginInstall(story, org), place)
  expect([page.status, page.text]).toEqual([200, expect.stringContaining('Slack is connected')])
  const { body } = await org.call('GET', `${org.path}/integrations`)
  const found = body.integrations.find(
    (one: { provider: { key: string }; externalName: string | null }) =>
      one.provider.key === 'slack' && one.externalName === place.team.name,
  )
  expect(found).toMatchObject({ status: 'connected' })
  return found
}

/** An org, a workspace of its own with a channel, and the app in it. */
export async function openWorkspace(slack: Slack, story: Story, name: string) {
  const org = await story.addOrg()
  const team = slack.addTeam(name)
  const channel = slack.addChannel(team, 'general')
  const integration = await install(slack, story, org, { team, channel })
  const path = `${org.path}/integrations/${integration.id}`
  return { org, team, channel, integration, path }
}

/** One turn in the product's own chat. */
export async function say(org: StoryOrg, content: string, conversationId?: string) {
  const begun = async (): Promise<string> =>
    (await org.call('POST', `${org.path}/conversations`, {})).body.conversation.id
  const id = conversationId ?? (await begun())
  const turn = await org.call('POST', `${org.path}/conversations/${id}/turns`, { content })
  expect(turn.status).toBe(200)
  return { conversationId: id }
}

export async function statusOf(org: StoryOrg, path: string) {
  return (await org.call('GET', path)).body.integration
}
