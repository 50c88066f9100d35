import { judgeAnswer } from '../../core/answer.ts'
import { eventBody } from '../../core/event.ts'
import type { Provider } from '../../core/provider.ts'
import { namedConfig, namedCredentials } from '../schemas.ts'

/** Any server that takes signed webhooks, and any HTTP API that tools call. */
export const genericWebhook: Provider = {
  manifest: {
    key: 'generic-webhook',
    version: '1.0.0',
    name: 'Webhook',
    description: 'Signed webhooks to any HTTPS server, and tools backed by any HTTP API.',
    docsUrl: 'https://www.standardwebhooks.com/',
    categories: ['developer'],
    permissions: ['Receives the events it subscribes to', 'Backs tools that the assistant may run'],
    supportsWebhooks: true,
    supportsExternalTools: true,
  },
  credentials: namedCredentials,
  config: namedConfig,
  network: 'public',
  urlProblem: () => null,
  maskUrl: null,
  render: (event) => ({ body: eventBody(event), isSigned: true }),
  judge: judgeAnswer,
}
