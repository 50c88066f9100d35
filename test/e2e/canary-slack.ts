import { signV0 } from '../doubles/slack/signature.ts'
import { mark } from './marks.ts'

export const slackClientSecret = mark('secret of the Slack app, to Slack')
export const slackSigningSecret = mark('signing secret of the Slack app')
/** What Slack says when a person has agreed. */
export const SLACK_INSTALLED = JSON.stringify({
  ok: true,
  access_token: mark('token of an install, to Slack', 'xoxe.xoxb-'),
  refresh_token: mark('refresh token of an install', 'xoxe-'),
  expires_in: 43_200,
  token_type: 'bot',
  scope: 'chat:write',
  bot_user_id: 'U1',
  app_id: 'A1',
  team: { id: 'T1', name: 'Canary' },
  incoming_webhook: {
    channel: '#all',
    channel_id: 'C1',
    url: `https://hooks.slack.com/services/T1/B1/${mark('webhook of an install')}`,
  },
})

/** The slash command of somebody in that workspace. */
export function commandOf(responseUrl: string): string {
  return new URLSearchParams({
    team_id: 'T1',
    api_app_id: 'A1',
    channel_id: 'C1',
    user_id: 'U2',
    command: '/ask',
    text: 'What is new?',
    response_url: responseUrl,
    trigger_id: '1.2.3',
  }).toString()
}

export function signedAsSlack(secret: string, body: string): Record<string, string> {
  const timestamp = Math.floor(Date.now() / 1000)
  return {
    'content-type': 'application/x-www-form-urlencoded',
    'x-slack-request-timestamp': String(timestamp),
    'x-slack-signature': signV0(secret, timestamp, body),
  }
}
