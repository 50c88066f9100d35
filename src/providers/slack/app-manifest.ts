import { cutText } from '../../core/cut.ts'
import { SCOPES } from './oauth.ts'

const MAX_APP_NAME = 35

/**
 * The manifest of a Slack app for one installation, to be pasted at api.slack.com/apps ("From a manifest").
 *
 * @param publicUrl where people and Slack reach this server, https
 */
export function appManifest(options: { readonly publicUrl: string; readonly name: string }) {
  const base = options.publicUrl.replace(/\/+$/, '')
  const name = cutText(options.name, MAX_APP_NAME)
  return {
    display_information: { name, description: 'Talk to the assistant, and see what it does.' },
    features: {
      // Without it nobody can write to the bot directly.
      app_home: {
        home_tab_enabled: false,
        messages_tab_enabled: true,
        messages_tab_read_only_enabled: false,
      },
      bot_user: { display_name: name, always_online: true },
      slash_commands: [
        {
          command: '/ask',
          url: `${base}/inbound/slack/commands`,
          description: 'Ask the assistant',
          usage_hint: '[your question]',
          should_escape: false,
        },
      ],
    },
    oauth_config: {
      redirect_urls: [`${base}/integrations/slack/callback`],
      scopes: { bot: [...SCOPES] },
    },
    settings: {
      event_subscriptions: {
        request_url: `${base}/inbound/slack/events`,
        bot_events: [
          'app_mention',
          'message.channels',
          'message.groups',
          'message.im',
          'app_uninstalled',
          'tokens_revoked',
        ],
      },
      interactivity: { is_enabled: true, request_url: `${base}/inbound/slack/interactions` },
      org_deploy_enabled: false,
      socket_mode_enabled: false,
      token_rotation_enabled: true,
    },
  }
}
