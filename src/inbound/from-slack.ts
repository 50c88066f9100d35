import type { Queryable } from '../db/pool.ts'
import type { InOrg } from '../db/tenants.ts'
import type { Log } from '../telemetry/log.ts'
import type { InboundIntegration } from './find-integration.ts'
import { putArrival } from './inbox.ts'
import type { Question } from './question.ts'
import type { Received } from './receive.ts'

/** Where an app of Slack's is installed. */
interface Workspace {
  readonly teamId: string | null
  readonly enterpriseId: string | null
}

/** Something that people wrote in Slack. */
export interface SlackMessage extends Workspace {
  readonly eventId: string
  readonly channel: string
  readonly ts: string
  /** The first message of the thread it stands in; its own `ts` where it begins one. */
  readonly thread: string
  readonly isThreadReply: boolean
  readonly isDirect: boolean
  readonly isMention: boolean
  readonly userId: string
  readonly text: string
}

export interface SlackCommand extends Workspace {
  readonly channel: string
  readonly userId: string
  readonly command: string
  readonly text: string
  readonly responseUrl: string
  readonly triggerId: string
}

export interface SlackEnding extends Workspace {
  readonly eventId: string
  readonly occurredAtS: number
  readonly why: 'uninstalled' | 'revoked'
}

interface FromSlackDeps {
  readonly inOrg: InOrg
  readonly newId: () => string
  readonly byPlace: (key: string, places: readonly string[]) => Promise<InboundIntegration | null>
  readonly conversationOf: (
    place: { readonly orgId: string; readonly integrationId: string; readonly channel: string },
    thread: string,
  ) => Promise<string | null>
  readonly ask: (
    integration: InboundIntegration,
    key: string,
    question: Question,
  ) => Promise<Received>
  readonly answerLater: (id: string) => Promise<void>
  /** Unless it was installed again, or changed, since. */
  readonly disconnect: (
    tx: Queryable,
    orgId: string,
    integrationId: string,
    reason: string,
    occurredAtS: number,
  ) => Promise<boolean>
  readonly log: Log
}

const UNINSTALLED = 'The app was removed from the Slack workspace: install it again.'
const REVOKED = 'The token of the app was revoked in Slack: install it again.'

/** What Slack tells the installation as a whole, brought to the integration of its workspace. */
export function makeFromSlack(deps: FromSlackDeps) {
  const { log } = deps

  /** null: no org has this workspace. Such a request is acknowledged, dropped and counted by its log line. */
  async function integrationOf(
    event: Workspace,
    own: InboundIntegration | null,
    what: string,
  ): Promise<InboundIntegration | null> {
    if (own !== null) return own
    const places = [event.teamId, event.enterpriseId].filter((place) => place !== null)
    const found = await deps.byPlace('slack', places)
    if (found === null) log.info({ what, team_id: event.teamId }, 'inbound.unknown_workspace')
    return found
  }

  async function isForUs(integration: InboundIntegration, message: SlackMessage): Promise<boolean> {
    if (message.isMention || message.isDirect) return true
    if (!message.isThreadReply) return false
    const { orgId, id: integrationId } = integration
    const place = { orgId, integrationId, channel: message.channel }
    return (await deps.conversationOf(place, message.thread)) !== null
  }

  return {
    /**
     * A mention, a direct message or a reply in a thread of ours becomes a question. Slack tells of one message as often as it
     * likes, and of a mention in a thread as two events: the key is the message.
     */
    async message(message: SlackMessage, own: InboundIntegration | null): Promise<void> {
      const integration = await integrationOf(message, own, 'message')
      if (integration === null || !integration.isEnabled) return
      if (message.text === '' || !(await isForUs(integration, message))) return
      const { channel, thread, userId, ts, text } = message
      const received = await deps.ask(integration, `message:${channel}:${ts}`, {
        text,
        user: { id: userId, name: null },
        where: { channel, thread },
        answer: 'channel',
        saidId: null,
      })
      if (received.kind === 'new') await deps.answerLater(received.id)
    },

    /** @returns what Slack shows the asker at once */
    async command(command: SlackCommand, own: InboundIntegration | null): Promise<string> {
      const integration = await integrationOf(command, own, 'command')
      if (integration === null) {
        return 'This workspace is not connected. Ask an admin to install the app again.'
      }
      if (!integration.isEnabled) {
        return 'The assistant is disconnected from this workspace at the moment. Ask an admin.'
      }
      const { userId, text, responseUrl, triggerId } = command
      if (text === '') return `Write your question after it, like: ${command.command} what is new?`
      const received = await deps.ask(integration, `command:${triggerId}`, {
        text,
        user: { id: userId, name: null },
        where: null,
        answer: { url: responseUrl },
        saidId: null,
      })
      if (received.kind === 'new') await deps.answerLater(received.id)
      return 'Asking the assistant…'
    },

    /** Its people ended it: the integration is disconnected, and nothing of it is lost. */
    async ended(event: SlackEnding, own: InboundIntegration | null): Promise<void> {
      const integration = await integrationOf(event, own, event.why)
      if (integration === null) return
      const { orgId, id: integrationId } = integration
      const reason = event.why === 'uninstalled' ? UNINSTALLED : REVOKED
      await deps.inOrg(orgId, async (_, client) => {
        // Slack repeats it until it has heard that it came.
        const arrival = { id: deps.newId(), orgId, integrationId, payload: null, messageId: null }
        if (!(await putArrival(client, { ...arrival, key: `event:${event.eventId}` }))) return
        await deps.disconnect(client, orgId, integrationId, reason, event.occurredAtS)
      })
    },
  }
}
