import { z } from 'zod'
import { type Answer, judgeAnswer } from '../../core/answer.ts'
import type { Outcome } from '../../core/delivery.ts'
import type { Provider } from '../../core/provider.ts'
import { eventLines } from '../plain-text.ts'
import { noConfig, present, secretField } from '../schemas.ts'

const HOSTS = new Set(['hooks.slack.com', 'hooks.slack-gov.com'])

/** Slack's own words for a webhook that will not work again as it is, and what a person can do. */
const ENDINGS: Readonly<Record<string, string>> = {
  invalid_token: 'Slack refused the webhook: create a new one and paste its URL here',
  action_prohibited: 'an admin of the Slack workspace forbids this webhook to post',
  posting_to_general_channel_denied:
    'this webhook may not post to #general: choose another channel',
  channel_not_found: 'the Slack channel is gone: create a webhook for another one',
  channel_is_archived: 'the Slack channel is archived: create a webhook for another one',
  no_service: 'the Slack webhook was removed: create a new one and paste its URL here',
  no_service_id: 'the Slack webhook was removed: create a new one and paste its URL here',
  no_active_hooks: 'the Slack webhook is disabled: create a new one and paste its URL here',
  no_team: 'the Slack workspace is gone',
  team_disabled: 'the Slack workspace is disabled',
}

/** Slack through an incoming webhook. Its URL is a secret: it is sealed at rest and shown masked. */
export const slack: Provider = {
  manifest: {
    key: 'slack',
    version: '1.0.0',
    name: 'Slack',
    description: 'Posts events as messages to a Slack channel, through an incoming webhook.',
    docsUrl: 'https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks/',
    categories: ['chat'],
    permissions: ['Posts messages to the channel of its webhook'],
    supportsWebhooks: true,
    supportsExternalTools: false,
  },
  credentials: z
    .strictObject({
      botToken: secretField('Bot token, xoxb-…').startsWith('xoxb-').optional(),
      signingSecret: secretField('Signing secret of the Slack app').optional(),
    })
    .transform(present),
  config: noConfig,
  network: 'public',
  urlProblem: (url) =>
    url.protocol === 'https:' && HOSTS.has(url.hostname) && url.pathname.startsWith('/services/')
      ? null
      : 'must be a Slack incoming webhook, https://hooks.slack.com/services/…',
  maskUrl: (url) => `${url.origin}/services/…`,
  render: (event) => {
    const { title, body } = eventLines(event)
    return {
      body: JSON.stringify({ text: `*${escapeText(title)}*\n${escapeText(body)}` }),
      isSigned: false,
    }
  },
  judge: judgeSlack,
}

/** Only these three are special in Slack's text; unescaped they could ping people or fake links. */
function escapeText(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')
}

/** Slack answers in plain text, and the text says more than the status. */
function judgeSlack(answer: Answer, nowMs: number): Outcome {
  const outcome = judgeAnswer(answer, nowMs)
  const ending = ENDINGS[answer.snippet.trim()]
  if (ending === undefined) return outcome
  const error = `${answer.snippet.trim()}: ${ending}`
  return { kind: 'failed', statusCode: answer.statusCode, snippet: answer.snippet, error }
}
