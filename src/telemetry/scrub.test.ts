import { Writable } from 'node:stream'
import { expect, test } from 'vitest'
import { makeDice } from '../../test/chaos/dice.ts'
import { Secret } from '../core/secret.ts'
import { makeLog } from './log.ts'
import { scrub } from './scrub.ts'

/** Bare values; none of them may be left in a line. */
const SECRETS = {
  signing: 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw',
  apiKey: 'pbk_4mQm9dR1sYx0aV7cT3kLw8eZ2hJ6nB5fUoPiGqXtEyA',
  jwt: 'eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhbm4ifQ.c2lnbmF0dXJl',
  slack: 'xoxb-17653672481-19874698323-pdFZKVeTuE8sk7oOcHrzzqgy',
  vault: 'hvs.CAESIJ2YvS3kQ1',
  model: 'sk-proj-0123456789abcdefghij',
}

function logged(write: (log: ReturnType<typeof makeLog>) => void): string {
  const lines: string[] = []
  const destination = new Writable({
    write: (chunk, _, done) => {
      lines.push(String(chunk))
      done()
    },
  })
  write(makeLog('trace', destination))
  return lines.join('')
}

test.each(Object.entries(SECRETS))('a secret of the shape "%s" is in no line', (_, secret) => {
  const error = Object.assign(new Error(`refused ${secret}`, { cause: new Error(secret) }), {
    code: 'E',
  })
  const line = logged((log) => {
    log.info({ plain: secret }, 'a')
    log.info({ deep: { deeper: [{ deepest: { x: [secret] } }] } }, 'b')
    log.info({}, `message with ${secret} in it`)
    log.info({ url: `https://example.com/x?y=1&z=${secret}` }, 'c')
    log.info({ text: JSON.stringify({ again: JSON.stringify({ secret }) }) }, 'd')
    log.warn({ err: error }, 'e')
  })
  expect(line).not.toContain(secret)
  expect(line).toContain('[secret]')
  for (const text of line.trim().split('\n')) JSON.parse(text)
})

test.each([
  'Authorization',
  'authorization',
  'proxy-authorization',
  'COOKIE',
  'set-cookie',
  'password',
  'clientSecret',
  'credentials',
  'apiKey',
  'x-api-key',
  'MASTER_KEY',
  'access_token',
  'botToken',
])('whatever stands in a member named %s is in no line, at any depth', (name) => {
  const line = logged((log) => {
    log.info({ [name]: 'plain-words' }, 'a')
    log.info({ a: { b: [{ c: { d: { [name]: 'plain-words' } } }] } }, 'b')
    log.info({ body: JSON.stringify({ [name]: 'plain-words', kept: 'seen' }) }, 'c')
    log.info({ body: JSON.stringify({ in: JSON.stringify({ [name]: 'plain-words' }) }) }, 'd')
  })
  expect(line).not.toContain('plain-words')
  expect(line).toContain('seen')
  for (const text of line.trim().split('\n')) JSON.parse(text)
})

test.each([
  ['postgres://ann:hunter2@db.example.com:5432/chat', 'hunter2'],
  ['https://hooks.slack.com/services/T0000/B0000/XXXXXXXXXXXXXXXXXXXXXXXX', 'XXXXXXXX'],
  ['https://example.com/in?sig=abcdef123&x=1', 'abcdef123'],
  ['Bearer abc.def~ghi', 'abc.def'],
  ['Basic YW5uOmh1bnRlcjI=', 'YW5u'],
])('%s loses what is secret in it', (text, secret) => {
  expect(scrub(text)).not.toContain(secret)
})

test('a value with quotes and backslashes in it goes whole, and the line stays JSON', () => {
  const odd = 'pl"ain\\wo\\"rds\\'
  const line = logged((log) => {
    log.info({ password: odd, next: 'kept' }, 'a')
    log.info({ body: JSON.stringify({ password: odd, next: 'kept' }) }, 'b')
  })
  expect(line).not.toMatch(/pl|rds/)
  expect(JSON.parse(line.split('\n')[0] ?? '')).toMatchObject({
    password: '[secret]',
    next: 'kept',
  })
})

test.each([
  'eyJ'.repeat(20_000),
  'eyJ-'.repeat(20_000),
  `://${':'.repeat(60_000)}`,
  '\\'.repeat(60_000),
  '"'.repeat(60_000),
  '"secret":"'.repeat(6_000),
  '\\"secret\\":\\"'.repeat(4_000),
  '\\"secret\\":\\"\\\\\\"'.repeat(3_000),
  'secret\\'.repeat(8_000),
  'secret" '.repeat(7_000),
  `"${'a'.repeat(60_000)}`,
  'whsec_'.repeat(10_000),
  'Bearer '.repeat(9_000),
  '?sig='.repeat(12_000),
])('a line made to be slow is scrubbed all the same (%#)', (line) => {
  // With work that grows as the square of the length, this would not end within a test's time.
  expect(scrub(line)).toEqual(expect.any(String))
})

test('a Secret never prints', () => {
  const line = logged((log) => {
    const secret = new Secret('plain-words')
    log.info({ secret, nested: [{ secret }], text: `${secret}` }, 'a')
  })
  expect(line).not.toContain('plain-words')
})

test.each([
  '{"level":"info","org_id":"acme","path":"/orgs/acme/integrations/01a/webhooks","status":200}',
  '{"level":"info","delivery_id":"01a210d0-0013-7000-b3e4-2ebb87936339","outcome":"delivered"}',
  'the token is over; the secret was rotated; see key ids',
])('a line without a secret stays as it is: %s', (line) => {
  expect(scrub(line)).toBe(line)
})

test.each([
  { msg: 'bad field "password":', level: 'info' },
  { principal_id: 'x"password":', msg: 'request.answered' },
  { a: '{"password":"abc\\\\"}', b: 'say "hi"', c: 'x' },
])('a scrubbed line is the same JSON but for secrets: %j', (line) => {
  const scrubbed: unknown = JSON.parse(scrub(JSON.stringify(line)))
  expect(Object.keys(scrubbed as object)).toEqual(Object.keys(line))
  expect(scrub(JSON.stringify(line))).not.toContain('abc')
})

test('one who chooses a name that ends like a member does not break the line', () => {
  for (const sub of ['mallory"password":\\', '"password":"\\', '\\"secret\\":\\"']) {
    const line = logged((log) => log.info({ principal_id: sub, address: '10.0.0.1' }, 'a'))
    expect(JSON.parse(line)).toMatchObject({ address: '10.0.0.1', msg: 'a' })
  }
})

/** What a pattern could trip over, in any order. */
const AWKWARD = [
  '"',
  '\\',
  '\\\\',
  '\\"',
  '"password":',
  '"password":"',
  '"secret" : "x',
  '\\"apiKey\\":\\"',
  '\\\\"token\\\\":\\\\"',
  '\\\\"cookie\\\\":\\\\"',
  '{"credentials":"',
  '","',
  '"}',
  ':',
  ',',
  '\n',
  '\0',
  '\u{1f512}',
  '\ud83d',
  'whsec_',
  'https://',
  '@',
  '?sig=',
  'Bearer ',
  'a word',
]
const EDGES = [' ', '\n', '\t', '"', '\\', ',', '\0', '\ud83d']

/** A value of a member, told as JSON in a string as often as `depth` says. */
function nest(depth: number, value: object): unknown {
  return depth === 0 ? value : JSON.stringify(nest(depth - 1, value))
}

test('lines of awkward texts are JSON with all their members, and have no secret', () => {
  const dice = makeDice(20_260_131)
  const odd = () => {
    const pieces = Array.from({ length: dice.between(0, 6) }, () => dice.pick(AWKWARD))
    return pieces.join('')
  }
  const shaped = () =>
    odd() + (dice.pick(EDGES) ?? '') + (dice.pick(Object.values(SECRETS)) ?? '') + odd()
  for (let at = 0; at < 1000; at += 1) {
    const named = { before: odd(), botToken: `${odd()}plain-words${odd()}`, after: odd() }
    const fields = {
      first: odd(),
      [`key ${odd()}`]: odd(),
      text: shaped(),
      body: nest(Math.floor(dice.between(0, 4)), named),
      prose: `${odd()}${nest(1, named)}${odd()}`,
      err: new Error(shaped(), { cause: new Error(odd()) }),
      address: '10.0.0.1',
    }
    const line = logged((log) => log.info(fields, odd()))
    const parsed: object = JSON.parse(line)
    expect(parsed).toMatchObject({ level: 'info', address: '10.0.0.1', msg: expect.any(String) })
    expect(Object.keys(parsed)).toHaveLength(10)
    for (const secret of ['plain-words', ...Object.values(SECRETS)]) {
      expect(line).not.toContain(secret)
    }
  }
})

test('words after the name of a scheme are words', () => {
  const line = 'Basic authentication required, Bearer tokens are refused'
  expect(scrub(line)).toBe(line)
})
