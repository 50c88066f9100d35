import { judgeAnswer } from '../../core/answer.ts'
import { eventBody } from '../../core/event.ts'
import type { Provider, Sender } from '../../core/provider.ts'
import { namedConfig, namedCredentials } from '../schemas.ts'
import { healthUrlProblem, verify } from './health.ts'
import { readInbound } from './inbound.ts'

const MAX_ANSWER_BYTES = 16_384
const NONE: readonly string[] = []

// Shared by all lanes: a worker keeps one for each of many thousand subscriptions.
const render: Sender['render'] = (event) => ({ body: eventBody(event), isSigned: true })
const threadOf: Sender['threadOf'] = () => null

/** Any server that takes signed webhooks, any HTTP API that tools call, and any program that asks the assistant. */
export const genericWebhook: Provider = {
  manifest: {
    schemaVersion: 1,
    key: 'generic-webhook',
    version: '1.1.0',
    name: 'Webhook',
    description:
      'Signed webhooks to any HTTPS server, tools backed by any HTTP API, and signed messages in.',
    docsUrl: 'https://www.standardwebhooks.com/',
    categories: ['developer'],
    permissions: [
      'Receives the events it subscribes to',
      'Backs tools that the assistant may run',
      'Writes into conversations whose id it knows, and asks the assistant',
    ],
    supportsWebhooks: true,
    supportsExternalTools: true,
    supportsInbound: true,
    install: 'paste',
    verification: 'Calls healthUrl of the config, where it is set: the service is to answer 2xx.',
  },
  credentials: namedCredentials,
  config: namedConfig.superRefine((config, context) => {
    const message = healthUrlProblem(config.healthUrl)
    if (message !== null) context.addIssue({ code: 'custom', path: ['healthUrl'], message })
  }),
  configUrl: () => null,
  network: 'public',
  urlProblem: () => null,
  maskUrl: () => null,
  defaults: {},
  channelUrl: null,
  needsCredentials: () => false,
  open: ({ url }) => ({
    url,
    headers: NONE,
    secrets: NONE,
    maxAnswerBytes: MAX_ANSWER_BYTES,
    channel: null,
    render,
    judge: judgeAnswer,
    threadOf,
  }),
  verify,
  renderAnswer: null,
  inboundSecret: 'ours',
  readInbound,
}
