import type { InboundRequest } from '../../core/provider.ts'
import type { makeDecideFromSlack } from '../../inbound/decide-from-slack.ts'
import type { makeFromSlack } from '../../inbound/from-slack.ts'
import { limitBody, refuseCodings } from '../middleware/request.ts'
import { makeRouter } from '../route.ts'
import { toInbound } from './inbound.ts'

type FromSlack = ReturnType<typeof makeFromSlack>
type DecideFromSlack = ReturnType<typeof makeDecideFromSlack>
/** The integration whose own Slack app sent it; null: the installation's app did. */
type Own = Parameters<FromSlack['message']>[1]

type SlackEvent =
  | { readonly kind: 'challenge'; readonly challenge: string }
  | {
      readonly kind: 'message'
      readonly own: Own
      readonly message: Parameters<FromSlack['message']>[0]
    }
  | { readonly kind: 'ended'; readonly own: Own; readonly ended: Parameters<FromSlack['ended']>[0] }
  | { readonly kind: 'ignored'; readonly reason: string }

/** Reads what Slack posted, its signature checked. Throws `UNAUTHENTICATED`, `INVALID_BODY`. */
export interface SlackRequests {
  readonly readEvent: (request: InboundRequest, integrationId?: string) => Promise<SlackEvent>
  /** null: a probe of Slack's for the certificate. */
  readonly readCommand: (
    request: InboundRequest,
    integrationId?: string,
  ) => Promise<{
    readonly own: Own
    readonly command: Parameters<FromSlack['command']>[0]
  } | null>
  /** null: no click that decides anything. */
  readonly readInteraction: (
    request: InboundRequest,
    integrationId?: string,
  ) => Promise<{ readonly own: Own; readonly click: Parameters<DecideFromSlack>[0] } | null>
}

export interface SlackInboundRoutesDeps {
  readonly slackRequests: SlackRequests
  readonly fromSlack: FromSlack
  readonly decideFromSlack: DecideFromSlack
}

/** What Slack posts. Nobody is logged in here: the signature of a Slack app is what counts. */
export function slackInboundRoutes(deps: SlackInboundRoutesDeps) {
  const { slackRequests, fromSlack, decideFromSlack } = deps
  return makeRouter()
    .use('/inbound/slack/*', refuseCodings, limitBody)
    .post('/inbound/slack/events', async (c) => {
      const event = await slackRequests.readEvent(await toInbound(c), c.req.query('integrationId'))
      if (event.kind === 'challenge') return c.json({ challenge: event.challenge }, 200)
      if (event.kind === 'message') await fromSlack.message(event.message, event.own)
      if (event.kind === 'ended') await fromSlack.ended(event.ended, event.own)
      return c.json({ ok: true }, 200)
    })
    .post('/inbound/slack/commands', async (c) => {
      const read = await slackRequests.readCommand(await toInbound(c), c.req.query('integrationId'))
      if (read === null) return c.body(null, 200)
      const text = await fromSlack.command(read.command, read.own)
      return c.json({ response_type: 'ephemeral', text }, 200)
    })
    .post('/inbound/slack/interactions', async (c) => {
      const request = await toInbound(c)
      const read = await slackRequests.readInteraction(request, c.req.query('integrationId'))
      if (read !== null) await decideFromSlack(read.click, read.own, c.get('requestId'))
      return c.body(null, 200)
    })
}
