import { describe, expect, test } from 'vitest'
import { eventBody } from '../../core/event.ts'
import type { CallApp } from '../../core/provider.ts'
import { internalHttp } from '../internal-http/internal-http.ts'
import { genericWebhook } from './generic-webhook.ts'

const EVENT = {
  id: '01a20908-8583-7137-8281-51ec2bfbb9f9',
  orgId: 'acme',
  type: 'invoice.created',
  conversationId: null,
  data: '{"total":120}',
  occurredAt: '2026-01-31T12:00:00.000Z',
}

function lane(url: string) {
  return genericWebhook.open({ url, integrationId: EVENT.id, credentials: {} })
}

test('what leaves is the signed event itself, to the subscription’s own URL', () => {
  const sender = lane('https://example.com/a?b=%2f')
  expect(sender.url).toBe('https://example.com/a?b=%2f')
  expect(sender.render(EVENT, null)).toEqual({ body: eventBody(EVENT), isSigned: true })
})

test('lanes share all but their URL: nothing is made for each', () => {
  const { url: a, ...one } = lane('https://a.example.com/')
  const { url: b, ...other } = lane('https://b.example.com/')
  expect(a).not.toBe(b)
  // The same things, not only equal ones.
  const shared = Object.entries(one).map(([name, value]) => ({
    name,
    isShared: Object.entries(other).some(([also, theirs]) => also === name && theirs === value),
  }))
  expect(shared.filter(({ isShared }) => !isShared)).toEqual([])
})

test('an internal service may reach the network, and is otherwise the same', () => {
  expect(internalHttp.network).toBe('internal')
  expect(internalHttp.open).toBe(genericWebhook.open)
  expect(internalHttp.manifest).toMatchObject({ key: 'internal-http', supportsInbound: true })
})

describe('healthUrl', () => {
  test.each(['https://example.com/healthz', 'http://10.0.0.5:8080/', 'http://service.internal'])(
    '%s is one',
    (healthUrl) => {
      const config = { healthUrl, region: 'eu' }
      expect(genericWebhook.config.parse(config)).toEqual(config)
    },
  )

  test.each(['', 'healthz', 'ftp://example.com/', 'javascript:alert(1)', 7, true])(
    '%j is refused by name',
    (healthUrl) => {
      const { error } = genericWebhook.config.safeParse({ healthUrl })
      expect(error?.issues).toMatchObject([
        { path: ['healthUrl'], message: expect.stringContaining('http') },
      ])
    },
  )

  test('one with a password in it is refused: the config is no place for secrets', () => {
    const healthUrl = 'https://ann:hunter2@example.com/'
    const { error } = genericWebhook.config.safeParse({ healthUrl })
    expect(error?.issues).toMatchObject([
      { path: ['healthUrl'], message: 'must not carry a user name or password' },
    ])
  })
})

describe('verify', () => {
  const config = { healthUrl: 'https://example.com/healthz?token=hidden' }
  type Answer = Awaited<ReturnType<CallApp>>

  async function verify(answer: Answer, of: Readonly<Record<string, unknown>> = config) {
    const asked: Parameters<CallApp>[0][] = []
    const call: CallApp = async (request) => {
      asked.push(request)
      return answer
    }
    return { asked, ...(await genericWebhook.verify({ credentials: {}, config: of }, call)) }
  }

  test.each([200, 204])('a health check that answers %i is well', async (statusCode) => {
    const { ok, detail, asked } = await verify({ isAnswer: true, statusCode, body: '' })
    expect(ok).toBe(true)
    expect(detail).toContain(String(statusCode))
    expect(asked).toEqual([{ method: 'GET', url: config.healthUrl, headers: [], body: null }])
  })

  test.each([302, 401, 404, 500, 503])('one that answers %i is not', async (statusCode) => {
    const { ok, detail } = await verify({ isAnswer: true, statusCode, body: '<html>' })
    expect(ok).toBe(false)
    expect(detail).toContain(`HTTP ${statusCode}`)
    expect(detail).not.toContain('hidden')
  })

  test('one that cannot be called says why', async () => {
    const { ok, detail } = await verify({ isAnswer: false, reason: 'connection refused' })
    expect(ok).toBe(false)
    expect(detail).toContain('connection refused')
  })

  test('without a health check nothing is called, and the words say how to have one', async () => {
    const { ok, detail, asked } = await verify({ isAnswer: false, reason: '' }, {})
    expect({ ok, asked }).toEqual({ ok: true, asked: [] })
    expect(detail).toContain('healthUrl')
    expect(detail).toContain('test')
  })
})
