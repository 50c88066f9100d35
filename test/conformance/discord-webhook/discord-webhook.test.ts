import { expect, test } from 'vitest'
import { discordWebhook } from './discord-webhook.ts'

const URL_OF_LANE = 'https://discord.com/api/webhooks/1234567890123456789/aBcDeFgHiJkLmNoPqRsT'

function contentOf(text: string): { content: string; allowed_mentions: unknown } {
  const sender = discordWebhook.open({ url: URL_OF_LANE, integrationId: 'i', credentials: {} })
  const { body } = sender.render(
    {
      id: '01a20908-8583-7137-8281-51ec2bfbb9f9',
      orgId: 'acme',
      type: 'invoice.created',
      conversationId: null,
      data: JSON.stringify({ text }),
      occurredAt: '2026-01-31T12:00:00.000Z',
    },
    null,
  )
  return JSON.parse(body)
}

test('a message has 2,000 characters at most, and says that it was cut', () => {
  const { content } = contentOf('😀'.repeat(20_000))
  expect(content.length).toBeGreaterThan(1990)
  expect(content.length).toBeLessThanOrEqual(2000)
  expect(content).toMatch(/😀…$/u)
})

test('nothing that is in it pings anyone', () => {
  expect(contentOf('@everyone <@1>').allowed_mentions).toEqual({ parse: [] })
})

test('what is shown of its URL is which webhook it is, and not what lets one post', () => {
  expect(discordWebhook.maskUrl(new URL(URL_OF_LANE))).toBe(
    'https://discord.com/api/webhooks/1234567890123456789/…',
  )
})
