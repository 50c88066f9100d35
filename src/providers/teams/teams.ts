import { z } from 'zod'
import { judgeAnswer } from '../../core/answer.ts'
import type { Provider } from '../../core/provider.ts'
import { eventLines } from '../plain-text.ts'
import { noConfig, present, secretField } from '../schemas.ts'

const SUFFIXES = ['.environment.api.powerplatform.com', '.logic.azure.com']
const RETIRED = ['webhook.office.com', 'outlook.office.com']

/** Microsoft Teams through a Workflows URL. The URL is signed, and so a secret: sealed at rest and shown masked. */
export const teams: Provider = {
  manifest: {
    key: 'teams',
    version: '1.0.0',
    name: 'Microsoft Teams',
    description: 'Posts events as cards to a Teams channel or chat, through a Workflows URL.',
    docsUrl: 'https://learn.microsoft.com/microsoftteams/platform/webhooks-and-connectors/',
    categories: ['chat'],
    permissions: ['Posts cards to the channel or chat of its workflow'],
    supportsWebhooks: true,
    supportsExternalTools: false,
  },
  credentials: z
    .strictObject({
      outgoingWebhookToken: secretField('Security token of the Teams outgoing webhook').optional(),
    })
    .transform(present),
  config: noConfig,
  network: 'public',
  urlProblem,
  maskUrl: (url) => `${url.origin}/…`,
  render: (event) => {
    const { title, body } = eventLines(event)
    return { body: JSON.stringify(card(title, body)), isSigned: false }
  },
  judge: judgeAnswer,
}

function urlProblem(url: URL): string | null {
  if (RETIRED.some((host) => url.hostname === host || url.hostname.endsWith(`.${host}`))) {
    return 'is an Office 365 connector, which Microsoft has switched off: create a workflow "When a Teams webhook request is received" and paste its URL'
  }
  const isWorkflow = SUFFIXES.some((suffix) => url.hostname.endsWith(suffix))
  if (!isWorkflow || url.protocol !== 'https:') {
    return 'must be a Teams Workflows URL, https://….environment.api.powerplatform.com/…'
  }
  return url.searchParams.has('sig') ? null : 'lacks its sig= parameter: paste the whole URL'
}

/** The envelope that Workflows demand; card version 1.4 is what webhooks render reliably. */
function card(title: string, body: string) {
  const block = (text: string, more: object) => ({ type: 'TextBlock', text, wrap: true, ...more })
  return {
    type: 'message',
    attachments: [
      {
        contentType: 'application/vnd.microsoft.card.adaptive',
        contentUrl: null,
        content: {
          $schema: 'http://adaptivecards.io/schemas/adaptive-card.json',
          type: 'AdaptiveCard',
          version: '1.4',
          msteams: { width: 'Full' },
          body: [block(title, { weight: 'Bolder' }), block(body, { fontType: 'Monospace' })],
        },
      },
    ],
  }
}
