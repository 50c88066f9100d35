import { describe, expect, test } from 'vitest'
import { readSlackEvent } from './events.ts'

const ENVELOPE = {
  token: 'x',
  type: 'event_callback',
  team_id: 'T1',
  api_app_id: 'A1',
  event_id: 'Ev1',
  event_time: 1700000000,
  authorizations: [
    {
      enterprise_id: null,
      team_id: 'T1',
      user_id: 'UBOT',
      is_bot: true,
      is_enterprise_install: false,
    },
  ],
}
const MESSAGE = {
  type: 'message',
  channel: 'C1',
  channel_type: 'channel',
  user: 'U1',
  text: 'hello',
  ts: '1700000000.000100',
}

const read = (event: object, envelope: object = {}) =>
  readSlackEvent(JSON.stringify({ ...ENVELOPE, ...envelope, event }))

test('Slack’s try of the address is answered with its challenge', () => {
  const body = JSON.stringify({ type: 'url_verification', token: 'x', challenge: 'c' })
  expect(readSlackEvent(body)).toEqual({ kind: 'challenge', challenge: 'c' })
})

describe('what a person says', () => {
  test('is read whole', () => {
    expect(read({ ...MESSAGE, type: 'app_mention', text: '<@UBOT> hello' })).toEqual({
      kind: 'said',
      teamId: 'T1',
      enterpriseId: null,
      appId: 'A1',
      eventId: 'Ev1',
      channel: 'C1',
      ts: '1700000000.000100',
      thread: '1700000000.000100',
      isThreadReply: false,
      isDirect: false,
      isMention: true,
      userId: 'U1',
      text: '<@UBOT> hello',
      botUserId: 'UBOT',
    })
  })

  test('in a shared channel is heard from the app’s own workspace alone', () => {
    const mention = { ...MESSAGE, type: 'app_mention' }
    expect(read({ ...mention, user_team: 'T1', source_team: 'T2' }).kind).toBe('said')
    for (const author of [{ user_team: 'T2' }, { source_team: 'T2' }]) {
      expect(read({ ...mention, ...author })).toMatchObject({
        kind: 'ignored',
        reason: 'a message from another workspace',
      })
    }
  })

  test('in a thread belongs to that thread', () => {
    expect(read({ ...MESSAGE, thread_ts: '1600000000.000001' })).toMatchObject({
      thread: '1600000000.000001',
      isThreadReply: true,
      isMention: false,
    })
    expect(read({ ...MESSAGE, thread_ts: MESSAGE.ts })).toMatchObject({ isThreadReply: false })
  })

  test('to the bot alone is direct', () => {
    expect(read({ ...MESSAGE, channel: 'D1', channel_type: 'im' })).toMatchObject({
      isDirect: true,
    })
  })

  test('with the bot’s name in it is a mention, whichever event tells it', () => {
    expect(read({ ...MESSAGE, text: 'so <@UBOT|ask>?' })).toMatchObject({ isMention: true })
    expect(read({ ...MESSAGE, text: 'so <@UBOT2>?' })).toMatchObject({ isMention: false })
  })

  test.each(['thread_broadcast', 'file_share'])('may be a %s', (subtype) => {
    expect(read({ ...MESSAGE, subtype }).kind).toBe('said')
  })

  test('in a channel shared with others is the installation’s that gets the event', () => {
    const authorizations = [{ team_id: 'T2', enterprise_id: 'E2', user_id: 'UBOT', is_bot: true }]
    expect(read(MESSAGE, { authorizations })).toMatchObject({ teamId: 'T2', enterpriseId: 'E2' })
    expect(read(MESSAGE, { authorizations: undefined })).toMatchObject({
      teamId: 'T1',
      botUserId: null,
    })
  })
})

describe('the bot answers no bot', () => {
  test.each([
    ['of a bot', { bot_id: 'B1' }],
    ['with the profile of a bot', { bot_profile: { id: 'B1' } }],
    ['of itself', { user: 'UBOT' }],
    ['of Slackbot', { user: 'USLACKBOT' }],
    ['of nobody', { user: undefined }],
    ['that a bot wrote', { subtype: 'bot_message' }],
    ['that was edited', { subtype: 'message_changed' }],
    ['that was deleted', { subtype: 'message_deleted' }],
    ['that tells who came', { subtype: 'channel_join' }],
  ])('a message %s is ignored', (_, change) => {
    expect(read({ ...MESSAGE, ...change }).kind).toBe('ignored')
    expect(read({ ...MESSAGE, type: 'app_mention', ...change }).kind).toBe('ignored')
  })
})

test('the end of an installation is told', () => {
  expect(read({ type: 'app_uninstalled' })).toEqual({
    kind: 'uninstalled',
    teamId: 'T1',
    enterpriseId: null,
    appId: 'A1',
    eventId: 'Ev1',
    occurredAtS: 1700000000,
  })
  expect(read({ type: 'tokens_revoked', tokens: { oauth: [], bot: ['UBOT'] } })).toMatchObject({
    kind: 'tokensRevoked',
    botUserIds: ['UBOT'],
  })
  expect(read({ type: 'tokens_revoked', tokens: { oauth: ['U1'] } }).kind).toBe('ignored')
})

test('that Slack held events back is told', () => {
  const body = { type: 'app_rate_limited', team_id: 'T1', minute_rate_limited: 1, api_app_id: 'A1' }
  expect(readSlackEvent(JSON.stringify(body))).toEqual({
    kind: 'rateLimited',
    teamId: 'T1',
    appId: 'A1',
  })
})

test('an event of another type is acknowledged', () => {
  expect(read({ type: 'reaction_added' }).kind).toBe('ignored')
})

test.each([
  ['', 'is not a request'],
  ['payload=%7B%7D', 'is not a request'],
  ['null', 'is not a request'],
  [JSON.stringify({ ...ENVELOPE, event: null }), 'event is not valid'],
  [JSON.stringify({ ...ENVELOPE, event: { type: 'message' } }), 'channel is not valid'],
  [JSON.stringify({ ...ENVELOPE, event_id: 7, event: MESSAGE }), 'event_id is not valid'],
])('%j is no event', (body, reason) => {
  expect(readSlackEvent(body)).toEqual({
    kind: 'invalid',
    reason: expect.stringContaining(reason),
  })
})
