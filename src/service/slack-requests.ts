import type { Config } from '../config.ts'
import { AppError } from '../core/error.ts'
import { isUuid } from '../core/id.ts'
import type { InboundRequest } from '../core/provider.ts'
import type { SlackRequests } from '../http/routes/slack-inbound.ts'
import type { InboundIntegration } from '../inbound/find-integration.ts'
import { decisionOf } from '../providers/slack/approval.ts'
import { readSlackEvent } from '../providers/slack/events.ts'
import {
  isResponseUrl,
  isSlackSignature,
  readSlackCommand,
  readSlackInteraction,
} from '../providers/slack/requests.ts'
import { toPlain } from '../providers/slack/text.ts'

interface SlackRequestsDeps {
  readonly config: Pick<Config, 'SLACK_SIGNING_SECRET' | 'SLACK_WEBHOOK_HOSTS'>
  readonly findOwn: (integrationId: string) => Promise<InboundIntegration | null>
  readonly signingSecretOf: (integration: InboundIntegration) => Promise<string | undefined>
}

/** What Slack posts, read as it is meant once its signature holds. */
export function makeSlackRequests({
  config,
  findOwn,
  signingSecretOf,
}: SlackRequestsDeps): SlackRequests {
  /** Who signed it: the installation's app, or the org's own, whose requests name its integration. */
  async function check(request: InboundRequest, integrationId: string | undefined) {
    const own =
      integrationId !== undefined && isUuid(integrationId) ? await findOwn(integrationId) : null
    const isOwn = own !== null && own.providerKey === 'slack'
    const secret = isOwn
      ? await signingSecretOf(own)
      : integrationId === undefined
        ? config.SLACK_SIGNING_SECRET?.reveal()
        : undefined
    const { headers, rawBody, nowMs } = request
    if (secret !== undefined && isSlackSignature(secret, headers, rawBody, nowMs)) return own
    throw new AppError(
      'UNAUTHENTICATED',
      'Not signed by a Slack app that is known here, or its time is over five minutes off.',
    )
  }

  function requireOfSlack(responseUrl: string): void {
    if (isResponseUrl(responseUrl, config.SLACK_WEBHOOK_HOSTS)) return
    throw new AppError('INVALID_BODY', 'response_url: is not one of Slack')
  }

  return {
    readEvent: async (request, integrationId) => {
      const own = await check(request, integrationId)
      const event = readSlackEvent(request.rawBody)
      switch (event.kind) {
        case 'challenge':
        case 'ignored':
          return event
        case 'invalid':
          throw new AppError('INVALID_BODY', `The body ${event.reason}.`)
        case 'rateLimited':
          return { kind: 'ignored', reason: 'Slack held events back: more than 30,000 in an hour' }
        case 'uninstalled':
          return { kind: 'ended', own, ended: { ...event, why: 'uninstalled' } }
        case 'tokensRevoked':
          return { kind: 'ended', own, ended: { ...event, why: 'revoked' } }
        case 'said':
          return {
            kind: 'message',
            own,
            message: { ...event, text: toPlain(event.text, event.botUserId) },
          }
      }
    },

    readCommand: async (request, integrationId) => {
      const own = await check(request, integrationId)
      const command = readSlackCommand(request.rawBody)
      if (command.kind === 'sslCheck') return null
      if (command.kind === 'invalid')
        throw new AppError('INVALID_BODY', `The body ${command.reason}.`)
      requireOfSlack(command.responseUrl)
      return { own, command: { ...command, text: toPlain(command.text, null) } }
    },

    readInteraction: async (request, integrationId) => {
      const own = await check(request, integrationId)
      const clicked = readSlackInteraction(request.rawBody)
      if (clicked.kind === 'invalid')
        throw new AppError('INVALID_BODY', `The body ${clicked.reason}.`)
      if (clicked.kind === 'ignored') return null
      const decision = decisionOf(clicked.actionId)
      if (decision === null) return null
      const { value: approvalId, responseUrl } = clicked
      if (approvalId === null || !isUuid(approvalId)) {
        throw new AppError('INVALID_BODY', 'actions.0.value: names no tool call')
      }
      if (responseUrl !== null) requireOfSlack(responseUrl)
      return { own, click: { ...clicked, decision, approvalId } }
    },
  }
}
