import { z } from 'zod'
import { hasDomain } from '../../core/domains.ts'
import type { Provider, Sender, Verification } from '../../core/provider.ts'
import { noConfig, present, secretField } from '../schemas.ts'
import { readActivity, tokenKey } from './activity.ts'
import { judgeTeams } from './answers.ts'
import { cardBody } from './card.ts'
import { replyBody } from './reply.ts'

const RETIRED = ['webhook.office.com', 'outlook.office.com']
const TRIGGER = /\/workflows\/[^/]+\/triggers\/[^/]+\/paths\/invoke$/
/** What a URL parser makes of `"`, `'`, `<` and `>` in a query: it cannot be told from what was pasted, and no workflow has it. */
const REWRITTEN = /%2[27]|%3[CE]/
/** Teams says no more than an error's code and a sentence. */
const MAX_ANSWER_BYTES = 16_384

const CREATE_ONE =
  'create a workflow "When a Teams webhook request is received" in Teams (the channel\'s … menu, Workflows) and paste its URL here'
const BAD_TOKEN =
  'must be the security token that Teams showed for the outgoing webhook: base64 of at least 16 bytes, without spaces'

/**
 * Microsoft Teams: out through a Workflows URL, in through an outgoing webhook. The URL is signed, and so a secret: sealed at
 * rest, shown masked, and called with its query as it was pasted.
 *
 * @param options.workflowHosts which hosts have workflows: names, or `*.` and a name for everything under it
 */
export function makeTeams(options: { readonly workflowHosts: readonly string[] }): Provider {
  return {
    manifest: {
      schemaVersion: 1,
      key: 'teams',
      version: '1.1.0',
      name: 'Microsoft Teams',
      description:
        'Posts events as cards to a Teams channel or chat, through a Workflows URL, and answers people who mention it there.',
      docsUrl: 'https://learn.microsoft.com/microsoftteams/platform/webhooks-and-connectors/',
      categories: ['chat'],
      permissions: [
        'Posts cards to the channel or chat of its workflow',
        'Reads what people write to the outgoing webhook by mentioning it',
      ],
      supportsWebhooks: true,
      supportsExternalTools: false,
      supportsInbound: true,
      install: 'paste',
      verification:
        'Checks the form of the outgoing webhook’s security token. A workflow can only be tried by a test of its webhook, which people in the channel see.',
    },
    credentials: z
      .strictObject({
        outgoingWebhookToken: secretField('Security token of the Teams outgoing webhook')
          .refine((token) => tokenKey(token) !== null, BAD_TOKEN)
          .optional(),
      })
      .transform(present),
    config: noConfig,
    configUrl: () => null,
    network: 'public',
    urlProblem: (url) => urlProblem(url, options.workflowHosts),
    maskUrl: (url) => `${url.origin}/…`,
    defaults: { rateLimit: { perSecond: 4 }, ordering: 'conversation' },
    channelUrl: null,
    needsCredentials: () => false,
    open: ({ url, integrationId }): Sender => ({
      url,
      headers: [],
      secrets: signaturesOf(url),
      maxAnswerBytes: MAX_ANSWER_BYTES,
      channel: null,
      render: (event) => ({ body: cardBody(event, integrationId), isSigned: false }),
      judge: judgeTeams,
      threadOf: () => null,
    }),
    verify: async ({ credentials }) => verifyToken(credentials.outgoingWebhookToken),
    renderAnswer: replyBody,
    inboundSecret: 'app',
    readInbound: readActivity,
  }
}

function urlProblem(url: URL, workflowHosts: readonly string[]): string | null {
  const host = url.hostname.replace(/\.$/, '')
  if (RETIRED.some((retired) => host === retired || host.endsWith(`.${retired}`))) {
    return `is an Office 365 connector, which Microsoft has switched off: ${CREATE_ONE}`
  }
  if (!hasDomain(workflowHosts, host)) {
    return `must be the URL of a Teams workflow, on ${workflowHosts.join(' or ')}: ${CREATE_ONE}`
  }
  if (!TRIGGER.test(url.pathname)) {
    return 'is not the trigger of a workflow, /workflows/…/triggers/…/paths/invoke: copy the URL that the workflow shows in its first step'
  }
  if ((url.searchParams.get('sig') ?? '') === '') {
    return 'lacks its signature, sig=…: paste the whole URL, and let anyone trigger the workflow ("Who can trigger the flow?": Anyone)'
  }
  return REWRITTEN.test(url.search)
    ? 'has quotes or angle brackets after its question mark: paste the URL alone, as Teams shows it'
    : null
}

/** The signature as it stands in the URL, and decoded. */
function signaturesOf(url: string): string[] {
  const sent = /[?&]sig=([^&#]+)/.exec(url)?.[1]
  if (sent === undefined) return []
  return [...new Set([sent, new URL(url).searchParams.get('sig') ?? sent])]
}

function verifyToken(token: string | undefined): Verification {
  const out =
    'Nothing was sent: a Teams workflow can only be tried by posting a card. Send a test from one of its webhooks to see one in the channel.'
  if (token === undefined) {
    return {
      ok: true,
      detail: `${out} No security token of an outgoing webhook is stored: until you paste one, people in Teams cannot ask the assistant.`,
    }
  }
  return tokenKey(token) === null
    ? { ok: false, detail: `The security token of the outgoing webhook ${BAD_TOKEN}.` }
    : {
        ok: true,
        detail: `${out} The security token has the right form; mention the outgoing webhook in its channel to try it.`,
      }
}
