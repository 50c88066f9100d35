import { type Events, messageEvent } from './events.ts'
import type { Fields } from './http.ts'
import type { Sent } from './sender.ts'
import type { WebApiNews } from './web-api.ts'
import type { World } from './world.ts'

export interface News extends WebApiNews {
  readonly tellUninstalled: (teamId: string) => Promise<Sent[]>
  readonly tellRevoked: (teamId: string) => Promise<Sent[]>
  /** When all is sent that nobody waits for. */
  readonly settled: () => Promise<void>
}

/** What Slack tells the app of its own accord; nothing where the app named no URL for events. */
export function makeNews(world: World, events: Events, url: () => string | undefined): News {
  const pending = new Set<Promise<unknown>>()
  const later = (work: Promise<unknown>) => {
    const kept = work.finally(() => pending.delete(kept))
    pending.add(kept)
  }
  const tell = async (teamId: string, event: Fields): Promise<Sent[]> => {
    const requestUrl = url()
    return requestUrl === undefined ? [] : await events.sendEvent(requestUrl, event, { teamId })
  }
  const tellRevoked = (teamId: string) => {
    const bot = [world.installs.get(teamId)?.botUserId]
    return tell(teamId, { type: 'tokens_revoked', tokens: { oauth: [], bot } })
  }
  /** Both, in no order that an app could count on. */
  const tellUninstalled = async (teamId: string) => {
    const both = [tell(teamId, { type: 'app_uninstalled' }), tellRevoked(teamId)]
    return (await Promise.all(both)).flat()
  }
  return {
    tellUninstalled,
    tellRevoked,
    uninstalled: (teamId) => later(tellUninstalled(teamId)),
    tokensRevoked: (teamId) => later(tellRevoked(teamId)),
    posted: (message) => {
      const channel = world.channels.get(message.channelId)
      if (!channel?.hasBot) return
      later(tell(message.teamId, messageEvent(world, channel, message)))
    },
    settled: async () => {
      while (pending.size > 0) await Promise.all(pending)
    },
  }
}
