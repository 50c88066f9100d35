import { describe, expect, test } from 'vitest'
import type { Answer } from '../../core/answer.ts'
import type { Outcome } from '../../core/delivery.ts'
import { API_FAULTS, judgeApi, judgeWebhook, threadOfPosted, WEBHOOK_FAULTS } from './answers.ts'

function answer(statusCode: number, body: string, retryAfter?: string): Answer {
  return { statusCode, retryAfter, snippet: body.slice(0, 1024), body: Buffer.from(body) }
}

const api = (body: object, statusCode = 200, retryAfter?: string) =>
  judgeApi(answer(statusCode, JSON.stringify(body), retryAfter), 0)

const stopsOf = (outcome: Outcome) =>
  'consequence' in outcome ? outcome.consequence?.stops : undefined

describe('an incoming webhook', () => {
  test('that answers ok has delivered', () => {
    expect(judgeWebhook(answer(200, 'ok'), 0).kind).toBe('delivered')
  })

  test.each([
    [403, 'invalid_token'],
    [403, 'action_prohibited'],
    [403, 'posting_to_general_channel_denied'],
    [404, 'channel_not_found'],
    [404, 'no_service'],
    [404, 'no_service_id'],
    [404, 'no_active_hooks'],
    [404, 'no_team'],
    [403, 'team_disabled'],
    [410, 'channel_is_archived'],
    // The docs promise the word, not the status.
    [400, 'no_service'],
    [200, 'no_service\n'],
    // A word of tomorrow, or none: the status decides.
    [404, 'no_such_thing'],
    [410, ''],
  ])('HTTP %i %j stops the subscription', (statusCode, body) => {
    const outcome = judgeWebhook(answer(statusCode, body), 0)
    expect(outcome).toMatchObject({
      kind: 'failed',
      statusCode,
      consequence: { stops: 'subscription', reason: expect.stringMatching(/: .+\.$/) },
    })
  })

  test('that was removed says what to do', () => {
    expect(judgeWebhook(answer(404, 'no_service'), 0)).toMatchObject({
      error: expect.stringContaining('no_service: The Slack webhook was removed'),
      consequence: {
        reason: 'The Slack webhook was removed: create a new one and paste its URL here.',
      },
    })
  })

  test.each([
    [400, 'invalid_payload'],
    [400, 'user_not_found'],
    [400, 'no_text'],
    [400, 'too_many_attachments'],
    [500, 'rollup_error'],
    [503, 'upstream'],
    [302, ''],
    [404, '<html>not here</html>'],
    [410, '<html>gone</html>'],
    [200, '<html>log in</html>'],
    [400, 'constructor'],
    [200, '{"ok":false,"error":"no_text"}'],
  ])('HTTP %i %j fails this message alone', (statusCode, body) => {
    const outcome = judgeWebhook(answer(statusCode, body), 0)
    expect(outcome.kind).toBe('failed')
    expect([undefined, 'delivery']).toContain(stopsOf(outcome))
  })

  test('that does not take a message as it is gets it once', () => {
    expect(stopsOf(judgeWebhook(answer(400, 'invalid_payload'), 0))).toBe('delivery')
    expect(stopsOf(judgeWebhook(answer(500, 'rollup_error'), 0))).toBeUndefined()
  })

  test('that throttles is waited for', () => {
    expect(judgeWebhook(answer(429, 'rate_limited', '30'), 0)).toMatchObject({
      kind: 'throttled',
      retryAfterMs: 30_000,
    })
    expect(judgeWebhook(answer(429, ''), 0)).toMatchObject({
      kind: 'throttled',
      retryAfterMs: null,
    })
  })
})

describe('chat.postMessage', () => {
  test('that answers ok has delivered', () => {
    expect(api({ ok: true, ts: '1.1' }).kind).toBe('delivered')
  })

  test.each([
    'invalid_auth',
    'not_authed',
    'token_revoked',
    'account_inactive',
    'missing_scope',
    'org_login_required',
    'access_denied',
  ])('%s disconnects the integration', (error) => {
    expect(api({ ok: false, error })).toMatchObject({
      kind: 'failed',
      consequence: { stops: 'integration', reason: expect.stringMatching(/: .+\.$/) },
    })
  })

  test.each([
    'channel_not_found',
    'not_in_channel',
    'is_archived',
    'restricted_action',
    'restricted_action_read_only_channel',
    'restricted_action_thread_only_channel',
  ])('%s stops the subscription', (error) => {
    expect(api({ ok: false, error })).toMatchObject({
      kind: 'failed',
      consequence: { stops: 'subscription', reason: expect.stringMatching(/: .+\.$/) },
    })
  })

  test('an expired token costs no attempt, and asks to be renewed', () => {
    expect(api({ ok: false, error: 'token_expired' })).toMatchObject({
      kind: 'interrupted',
      waitMs: 30_000,
      consequence: { stops: 'token' },
    })
  })

  test.each([
    'internal_error',
    'fatal_error',
    'service_unavailable',
    'request_timeout',
    'no_text',
    'invalid_blocks',
    'invalid_blocks_format',
    'msg_blocks_too_long',
    'too_many_attachments',
    'message_limit_exceeded',
    'a_new_error',
    'constructor',
  ])('%s fails this message alone', (error) => {
    const outcome = api({ ok: false, error })
    expect(outcome).toMatchObject({ kind: 'failed', error: expect.stringContaining(`${error}: `) })
    expect([undefined, 'delivery']).toContain(stopsOf(outcome))
  })

  test.each(['ratelimited', 'rate_limited'])('%s throttles, whatever the status', (error) => {
    expect(api({ ok: false, error }, 200, '7')).toMatchObject({
      kind: 'throttled',
      retryAfterMs: 7000,
    })
    expect(api({ ok: false, error }, 429, '7')).toMatchObject({
      kind: 'throttled',
      retryAfterMs: 7000,
    })
    expect(api({ ok: false, error })).toMatchObject({ kind: 'throttled', retryAfterMs: null })
  })

  test.each([
    [200, '<html>log in</html>'],
    [200, ''],
    [200, '{"ok":true,"ts":"1.'],
    [200, '[]'],
    [200, '{"ok":"yes"}'],
    [500, ''],
    [500, '{"ok":true}'],
    [410, ''],
    [301, ''],
  ])('HTTP %i %j is no delivery', (statusCode, body) => {
    const outcome = judgeApi(answer(statusCode, body), 0)
    expect(outcome.kind).toBe('failed')
    expect([undefined, 'delivery']).toContain(stopsOf(outcome))
  })

  test('a word that may be anything is not repeated', () => {
    const outcome = api({ ok: false, error: 'xoxb-1-secret' })
    expect(outcome).toMatchObject({ kind: 'failed' })
    expect('error' in outcome ? outcome.error : '').not.toContain('xoxb')
  })

  test('tells the thread that a message has begun, or goes on', () => {
    const thread = (body: unknown) => threadOfPosted(answer(200, JSON.stringify(body)))
    expect(thread({ ok: true, ts: '1.1', message: { text: 'x' } })).toBe('1.1')
    expect(thread({ ok: true, ts: '2.2', message: { thread_ts: '1.1' } })).toBe('1.1')
    expect(thread({ ok: true })).toBeNull()
    expect(threadOfPosted(answer(200, 'ok'))).toBeNull()
  })
})

test('every reason is a sentence that a person can read', () => {
  for (const { reason } of [...WEBHOOK_FAULTS.values(), ...API_FAULTS.values()]) {
    expect(reason).toMatch(/^[A-Z].+\.$/)
  }
})
