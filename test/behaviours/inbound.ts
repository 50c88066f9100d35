import { createHmac, randomUUID } from 'node:crypto'
import { Webhook } from 'standardwebhooks'
import type { ApiAnswer } from '../fixtures/api.ts'
import { done } from './chat.ts'
import type { Story, StoryOrg } from './story.ts'

export interface Posted {
  readonly id?: string
  readonly secret?: string
  readonly at?: Date
  /** What is sent instead of what was signed. */
  readonly instead?: string
  readonly type?: string
}

/** A program that an org lets in, as it is installed: with the secret that is shown once. */
export async function installProgram(
  story: Story,
  org: StoryOrg,
  providerKey = 'generic-webhook',
  config: object = {},
) {
  const at = `${org.path}/integrations`
  const asked = { providerKey, name: 'Help desk', config }
  const { integration, inboundSecret } = await done(org.call('POST', at, asked))
  const url = `/inbound/${integration.id}`
  return {
    id: String(integration.id),
    path: `${at}/${integration.id}`,
    secret: String(inboundSecret),
    /** Signed as Standard Webhooks says. */
    post: (message: unknown, posted: Posted = {}): Promise<ApiAnswer> => {
      const { id = randomUUID(), secret = String(inboundSecret), at: time = new Date() } = posted
      const body = typeof message === 'string' ? message : JSON.stringify(message)
      const headers = {
        'content-type': posted.type ?? 'application/json',
        'webhook-id': id,
        'webhook-timestamp': String(Math.floor(time.getTime() / 1000)),
        'webhook-signature': new Webhook(secret).sign(id, time, body),
      }
      return story.call('POST', url, { text: posted.instead ?? body, headers })
    },
    /** Signed by `X-AI-Chat-Signature` alone. */
    postPlainly: (message: unknown, secret = String(inboundSecret)): Promise<ApiAnswer> => {
      const text = JSON.stringify(message)
      const signature = createHmac('sha256', secret).update(text).digest('hex')
      return story.call('POST', url, { text, headers: { 'x-ai-chat-signature': signature } })
    },
  }
}

/** A conversation of the org, and what is said in it. */
export async function openConversation(org: StoryOrg) {
  const at = `${org.path}/conversations`
  const { conversation } = await done(org.call('POST', at, {}))
  return {
    id: String(conversation.id),
    /** Oldest first. */
    messages: async (): Promise<ApiAnswer['body'][]> => {
      const { messages } = await done(org.call('GET', `${at}/${conversation.id}/messages`))
      return messages.toReversed()
    },
  }
}
