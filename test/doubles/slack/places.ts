import { activeTokens, type Grant, installApp, issueTokens, makeWebhook } from './grants.ts'
import { type Channel, type Install, type Message, makeId, type Team, type World } from './world.ts'

/** What a test sets up and looks at. */
export interface Places {
  /** Everything posted that is still there, oldest first; what one person alone sees too. */
  readonly messages: readonly Message[]
  readonly messagesIn: (channel: Channel) => readonly Message[]
  readonly addTeam: (name: string) => Team
  /** The app is in it, unless told otherwise. */
  readonly addChannel: (team: Team, name: string, how?: Partial<Channel>) => Channel
  /** As the app's own page at Slack does it: gives the tokens that an admin copies from there. */
  readonly install: (team: Team, scopes: readonly string[]) => Install & Grant
  readonly installOf: (team: Team) => Install | undefined
  /** Access tokens that hold now, oldest first. */
  readonly tokensOf: (team: Team) => readonly string[]
  /** The URL of a new incoming webhook. */
  readonly addWebhook: (channel: Channel) => string
  readonly removeWebhook: (url: string) => void
}

/** @param url of the server, without a slash at its end */
export function makePlaces(world: World, url: string): Places {
  return {
    messages: world.messages,
    messagesIn: ({ id }) => world.messages.filter(({ channelId }) => channelId === id),
    addTeam: (name) => {
      const domain = name.toLowerCase().replace(/[^a-z0-9]+/g, '-')
      const team = { id: makeId('T'), name, domain }
      world.teams.set(team.id, team)
      return team
    },
    addChannel: (team, name, how = {}) => {
      const channel: Channel = {
        id: makeId(how.kind === 'direct' ? 'D' : 'C'),
        teamId: team.id,
        name,
        kind: 'public',
        hasBot: true,
        isArchived: false,
        ...how,
      }
      world.channels.set(channel.id, channel)
      return channel
    },
    install: (team, scopes) => ({
      ...installApp(world, team.id, scopes),
      ...issueTokens(world, team.id),
    }),
    installOf: (team) => world.installs.get(team.id),
    tokensOf: (team) => activeTokens(world, team.id).map(({ value }) => value),
    addWebhook: ({ teamId, id }) => url + makeWebhook(world, teamId, id).path,
    removeWebhook: (webhookUrl) => {
      const webhook = world.webhooks.get(new URL(webhookUrl).pathname)
      if (webhook === undefined) throw new Error('there is no such webhook')
      webhook.isRemoved = true
    },
  }
}
