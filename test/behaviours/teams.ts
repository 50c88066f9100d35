import type { Flow, Teams } from '../doubles/teams.ts'
import { until } from '../fixtures/process.ts'
import { done } from './chat.ts'
import type { Story, StoryOrg } from './story.ts'

/** Teams as an admin installs it. */
export async function installTeams(story: Story, teams: Teams, org: StoryOrg) {
  const at = `${org.path}/integrations`
  const { integration } = await done(org.call('POST', at, { providerKey: 'teams', name: 'Team' }))
  const path = `${at}/${integration.id}`
  return {
    id: String(integration.id),
    path,
    get: async () => (await done(org.call('GET', path))).integration,
    connect: async (flow: Flow, more: object = {}): Promise<string> => {
      const json = { url: flow.url, eventTypes: ['*'], content: 'full', ...more }
      return (await done(org.call('POST', `${path}/webhooks`, json))).webhook.id
    },
    /** With its outgoing webhook, whose token the admin pastes. */
    listen: async () => {
      const url = `${story.url}/inbound/teams/${integration.id}`
      const bot = teams.createOutgoingWebhook({ name: 'Patchbay', url })
      const credentials = { outgoingWebhookToken: bot.securityToken }
      await done(org.call('PATCH', path, { credentials }))
      return bot
    },
  }
}

export const hasCards = (flow: Flow, count: number) =>
  until(`${count} cards are there`, () => flow.cards.length >= count)
