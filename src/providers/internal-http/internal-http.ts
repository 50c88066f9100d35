import type { Provider } from '../../core/provider.ts'
import { genericWebhook } from '../generic-webhook/generic-webhook.ts'

/** A service inside the operator's network: as the generic webhook, but it may reach what `EGRESS_ALLOW_INTERNAL` lists. */
export const internalHttp: Provider = {
  ...genericWebhook,
  manifest: {
    ...genericWebhook.manifest,
    key: 'internal-http',
    name: 'Internal service',
    description:
      'Signed webhooks to services inside the network, tools backed by them, and signed messages in. Only to addresses the operator lists.',
    categories: ['developer', 'internal'],
  },
  network: 'internal',
}
