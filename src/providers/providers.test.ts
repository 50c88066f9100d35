import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import type { EventRecord } from '../core/event.ts'
import { PROVIDERS } from './registry.ts'
import { slack } from './slack/slack.ts'
import { teams } from './teams/teams.ts'

const EVENT: EventRecord = {
  id: '01a20908-8583-7137-8281-51ec2bfbb9f9',
  orgId: 'acme',
  type: 'chat.turn.completed',
  conversationId: 'c-1',
  data: JSON.stringify({ content: { user: '<!channel> & <b>', assistant: 'hello' } }),
  occurredAt: '2026-01-31T12:00:00.000Z',
}
const WORKFLOW =
  'https://default0.1f.environment.api.powerplatform.com:443/powerautomate/automations/direct/workflows/ab/triggers/manual/paths/invoke?api-version=1&sp=%2Ftriggers%2Fmanual%2Frun&sv=1.0&sig=secret'

describe.each(PROVIDERS.map((provider) => [provider.manifest.key, provider] as const))(
  'the provider %s',
  (_, provider) => {
    test('describes its credentials and config as JSON Schema, secrets marked', () => {
      const schema = z.toJSONSchema(provider.credentials, { io: 'input' })
      expect(schema.type).toBe('object')
      expect(JSON.stringify(schema)).toContain('"x-secret":true')
      expect(z.toJSONSchema(provider.config, { io: 'input' }).type).toBe('object')
    })

    test('has a manifest that is plain data', () => {
      expect(JSON.parse(JSON.stringify(provider.manifest))).toEqual(provider.manifest)
      expect(provider.manifest.version).toMatch(/^\d+\.\d+\.\d+$/)
    })

    test('takes no credentials at all, and refuses those that are not text', () => {
      expect(provider.credentials.parse({})).toEqual({})
      expect(provider.credentials.safeParse({ apiKey: 1 }).success).toBe(false)
    })

    test('renders an event as JSON, the same bytes every time', () => {
      const { body } = provider.render(EVENT)
      expect(() => JSON.parse(body)).not.toThrow()
      expect(provider.render(EVENT).body).toBe(body)
    })

    test('judges answers: 2xx delivered, 429 throttled, 410 gone, 500 failed', () => {
      const judge = (statusCode: number) =>
        provider.judge({ statusCode, retryAfter: undefined, snippet: '' }, 0).kind
      expect([200, 202, 429, 410, 500, 301].map(judge)).toEqual([
        'delivered',
        'delivered',
        'throttled',
        'gone',
        'failed',
        'failed',
      ])
    })
  },
)

describe('slack', () => {
  test('escapes what people and models wrote, so that nobody is pinged', () => {
    const { text } = JSON.parse(slack.render(EVENT).body)
    expect(text).toContain('&lt;!channel&gt; &amp; &lt;b&gt;')
    expect(text).not.toContain('<!channel>')
  })

  test('takes only URLs of its own webhooks, and shows them masked', () => {
    const url = new URL('https://hooks.slack.com/services/T0/B0/x')
    expect(slack.urlProblem(url)).toBeNull()
    expect(slack.maskUrl?.(url)).toBe('https://hooks.slack.com/services/…')
    expect(slack.urlProblem(new URL('https://hooks.slack.com.evil.test/services/T'))).toContain(
      'must be a Slack incoming webhook',
    )
  })

  test('says in words what a removed webhook means', () => {
    const outcome = slack.judge(
      { statusCode: 404, retryAfter: undefined, snippet: 'no_service' },
      0,
    )
    expect(outcome).toMatchObject({ kind: 'failed', error: expect.stringContaining('was removed') })
  })
})

describe('teams', () => {
  test('sends the envelope with one adaptive card of version 1.4', () => {
    const message = JSON.parse(teams.render(EVENT).body)
    expect(message).toMatchObject({
      type: 'message',
      attachments: [
        {
          contentType: 'application/vnd.microsoft.card.adaptive',
          contentUrl: null,
          content: { type: 'AdaptiveCard', version: '1.4' },
        },
      ],
    })
  })

  test('takes a workflow’s URL whole, hides it, and refuses the retired connectors with what to do instead', () => {
    const url = new URL(WORKFLOW)
    expect(teams.urlProblem(url)).toBeNull()
    expect(teams.maskUrl?.(url)).not.toContain('sig')
    expect(teams.urlProblem(new URL(WORKFLOW.replace('sig=secret', 'x=1')))).toContain('sig=')
    expect(teams.urlProblem(new URL('https://acme.webhook.office.com/webhookb2/x'))).toContain(
      'switched off',
    )
  })
})
