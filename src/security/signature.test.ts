import { createHmac } from 'node:crypto'
import { Webhook } from 'standardwebhooks'
import { describe, expect, test } from 'vitest'
import {
  isPlainlySignedByAny,
  isSameText,
  isSignedByAny,
  isTimely,
  makeSign,
  newSigningSecret,
  verifyWebhook,
  WebhookVerificationError,
} from './signature.ts'

/** The vector that Standard Webhooks publishes. */
const PUBLISHED = {
  secret: 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw',
  id: 'msg_p5jXN8AQM9LWM0D4loKWxJek',
  timestampS: 1614265330,
  body: '{"test": 2432232314}',
  signature: 'v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=',
}

const ID = '01a1f3c2-9d4e-7c11-8a51-6f0e2b7d9c00'
const NOW_S = 1_795_446_246
const BODY = '{"id":"1","type":"a.b","data":{"text":"Grüße, 漢字 \\u0000 🎉","number":1.0}}'
const SECRET = newSigningSecret()
const OLD_SECRET = newSigningSecret()

/** The headers of a webhook that is signed now. */
function signed(secrets: readonly string[], body: string | Buffer = BODY, timestampS = NOW_S) {
  return {
    'webhook-id': ID,
    'webhook-timestamp': String(timestampS),
    'webhook-signature': makeSign(secrets)(ID, timestampS, body).standard,
  }
}

function verify(headers: Record<string, string | string[] | undefined>, body = BODY) {
  return verifyWebhook(SECRET, headers, body, { nowS: NOW_S })
}

describe(makeSign, () => {
  test('it signs as the published vector says', () => {
    const { id, timestampS, body, secret, signature } = PUBLISHED
    expect(makeSign([secret])(id, timestampS, body).standard).toBe(signature)
  })

  test('the stock verifier of Standard Webhooks accepts it', () => {
    const headers = signed([SECRET], BODY, Math.floor(Date.now() / 1000))
    expect(new Webhook(SECRET).verify(BODY, headers)).toEqual(JSON.parse(BODY))
    expect(() => new Webhook(OLD_SECRET).verify(BODY, headers)).toThrow('No matching signature')
  })

  test('an HMAC under the decoded secret over id, timestamp and body gives the same', () => {
    const key = Buffer.from(SECRET.slice('whsec_'.length), 'base64')
    const hmac = createHmac('sha256', key).update(`${ID}.${NOW_S}.${BODY}`).digest('base64')
    expect(makeSign([SECRET])(ID, NOW_S, BODY).standard).toBe(`v1,${hmac}`)
  })

  test('text and its UTF-8 bytes are signed alike', () => {
    const sign = makeSign([SECRET])
    expect(sign(ID, NOW_S, Buffer.from(BODY))).toEqual(sign(ID, NOW_S, BODY))
  })

  test('several secrets give an entry each, newest first, and each verifies on its own', () => {
    const secrets = [SECRET, OLD_SECRET, newSigningSecret()]
    const headers = signed(secrets, BODY, Math.floor(Date.now() / 1000))
    const entries = headers['webhook-signature'].split(' ')
    expect(entries).toHaveLength(3)
    for (const [i, secret] of secrets.entries()) {
      const alone = { ...headers, 'webhook-signature': entries[i] ?? '' }
      expect(new Webhook(secret).verify(BODY, headers)).toEqual(JSON.parse(BODY))
      expect(new Webhook(secret).verify(BODY, alone)).toEqual(JSON.parse(BODY))
      expect(verifyWebhook(secret, headers, BODY)).toEqual(JSON.parse(BODY))
    }
  })

  test('the plain signature is over the raw body, by the whole text of the newest secret', () => {
    const { plain } = makeSign([SECRET, OLD_SECRET])(ID, NOW_S, BODY)
    expect(plain).toBe(createHmac('sha256', SECRET).update(BODY, 'utf8').digest('hex'))
    expect(plain).toMatch(/^[0-9a-f]{64}$/)
    expect(makeSign([SECRET])('other', 1, BODY).plain).toBe(plain)
  })

  test('a subscription without a secret is refused', () => {
    expect(() => makeSign([])).toThrow('at least one secret')
  })
})

describe(newSigningSecret, () => {
  test('it is whsec_ and 32 random bytes in base64', () => {
    expect(SECRET).toMatch(/^whsec_[A-Za-z0-9+/]{43}=$/)
    expect(newSigningSecret()).not.toBe(newSigningSecret())
  })
})

describe(verifyWebhook, () => {
  test('the published vector verifies at its time', () => {
    const headers = {
      'webhook-id': PUBLISHED.id,
      'webhook-timestamp': String(PUBLISHED.timestampS),
      'webhook-signature': PUBLISHED.signature,
    }
    const options = { nowS: PUBLISHED.timestampS }
    const event = verifyWebhook(PUBLISHED.secret, headers, PUBLISHED.body, options)
    expect(event).toEqual({ test: 2432232314 })
    const bare = PUBLISHED.secret.slice('whsec_'.length)
    expect(verifyWebhook(bare, headers, PUBLISHED.body, options)).toEqual(event)
  })

  test('what the stock library signs verifies', () => {
    const signature = new Webhook(SECRET).sign(ID, new Date(NOW_S * 1000), BODY)
    expect(verify({ ...signed([OLD_SECRET]), 'webhook-signature': signature })).toEqual(
      JSON.parse(BODY),
    )
  })

  test('any one of several signatures is enough', () => {
    expect(verify(signed([OLD_SECRET, SECRET]))).toEqual(JSON.parse(BODY))
    const [entry] = signed([SECRET])['webhook-signature'].split(' ')
    const mixed = `v1a,abc nonsense v1, ${entry}`
    expect(verify({ ...signed([SECRET]), 'webhook-signature': mixed })).toEqual(JSON.parse(BODY))
  })

  const good = signed([SECRET])
  const digest = good['webhook-signature'].slice('v1,'.length)

  test.each([
    ['of another secret', signed([OLD_SECRET])['webhook-signature']],
    ['of another scheme', `v1a,${digest}`],
    ['of a later version', `v2,${digest}`],
    ['without its scheme', digest],
    ['that is cut', `v1,${digest.slice(0, -1)}`],
    ['with more behind it', `v1,${digest}A`],
    ['with commas between its entries', `v1,x,v1,${digest}`],
    ['in hex', `v1,${Buffer.from(digest, 'base64').toString('hex')}`],
    ['of no length', 'v1,'],
    ['of great length', `v1,${'A'.repeat(10_000)}`],
    ['that is not ASCII', 'v1,é\u00ff'],
  ])('a signature %s is refused', (_, signature) => {
    const headers = { ...good, 'webhook-signature': signature }
    expect(() => verify(headers)).toThrow(new WebhookVerificationError('no signature fits'))
  })

  test.each([
    ['a body that was changed', good, BODY.replace('a.b', 'a.c')],
    ['a body that was parsed and written again', good, JSON.stringify(JSON.parse(BODY))],
    ['an empty body', good, ''],
    ['the signature of another id', { ...good, 'webhook-id': 'other' }, BODY],
    ['the signature of another time', { ...good, 'webhook-timestamp': `${NOW_S - 1}` }, BODY],
  ])('%s is refused', (_, headers, body) => {
    expect(() => verify(headers, body)).toThrow(new WebhookVerificationError('no signature fits'))
  })

  test.each(['webhook-id', 'webhook-timestamp', 'webhook-signature'])(
    'a webhook whose %s is missing, empty or given as a list is refused',
    (name) => {
      const missing = new WebhookVerificationError(`${name} is missing`)
      for (const value of [undefined, '', ['a', 'b']]) {
        expect(() => verify({ ...good, [name]: value })).toThrow(missing)
      }
    },
  )

  const untimely = new WebhookVerificationError('webhook-timestamp is not within the tolerance')

  test('a timestamp is accepted up to five minutes off, both ways', () => {
    for (const offS of [-300, 300]) {
      expect(verify(signed([SECRET], BODY, NOW_S + offS))).toEqual(JSON.parse(BODY))
    }
    for (const offS of [-301, 301, -360, 360, -86_400, 86_400]) {
      expect(() => verify(signed([SECRET], BODY, NOW_S + offS))).toThrow(untimely)
    }
  })

  test('the tolerance is the one that is asked for, and no number tolerates nothing', () => {
    const headers = signed([SECRET], BODY, NOW_S - 10)
    const within = (toleranceS: number) => () =>
      verifyWebhook(SECRET, headers, BODY, { nowS: NOW_S, toleranceS })
    expect(within(10)()).toEqual(JSON.parse(BODY))
    expect(within(9)).toThrow(untimely)
    expect(within(Number.NaN)).toThrow(untimely)
  })

  test.each(['now', '', '-1', '1e9', '0x6b0c', ' 1', `${NOW_S}.0`, `${NOW_S}000`, '9'.repeat(40)])(
    'the timestamp %j is refused, even signed',
    (timestamp) => {
      const key = Buffer.from(SECRET.slice('whsec_'.length), 'base64')
      const hmac = createHmac('sha256', key).update(`${ID}.${timestamp}.${BODY}`).digest('base64')
      const headers = { ...good, 'webhook-timestamp': timestamp, 'webhook-signature': `v1,${hmac}` }
      expect(() => verify(headers)).toThrow(WebhookVerificationError)
    },
  )
})

describe(isSignedByAny, () => {
  const signedBy = (...secrets: string[]) => ({
    id: ID,
    timestamp: String(NOW_S),
    signatures: makeSign(secrets)(ID, NOW_S, BODY).standard,
  })

  test('one secret that fits one of the entries is enough', () => {
    expect(isSignedByAny([SECRET], signedBy(SECRET), BODY)).toBe(true)
    expect(isSignedByAny([SECRET, OLD_SECRET], signedBy(OLD_SECRET), BODY)).toBe(true)
    expect(isSignedByAny([OLD_SECRET], signedBy(SECRET, OLD_SECRET), BODY)).toBe(true)
    expect(isSignedByAny([OLD_SECRET], signedBy(SECRET), BODY)).toBe(false)
  })

  test('without a secret nothing fits', () => {
    expect(isSignedByAny([], signedBy(SECRET), BODY)).toBe(false)
  })

  test('the id, the time and the body are all signed', () => {
    const good = signedBy(SECRET)
    expect(isSignedByAny([SECRET], { ...good, id: 'other' }, BODY)).toBe(false)
    expect(isSignedByAny([SECRET], { ...good, timestamp: `${NOW_S + 1}` }, BODY)).toBe(false)
    expect(isSignedByAny([SECRET], good, `${BODY} `)).toBe(false)
  })
})

describe(isTimely, () => {
  test('five minutes off is near enough unless another tolerance is asked for', () => {
    expect([-301, -300, 0, 300, 301].map((offS) => isTimely(`${NOW_S + offS}`, NOW_S))).toEqual([
      false,
      true,
      true,
      true,
      false,
    ])
    expect(isTimely(`${NOW_S - 10}`, NOW_S, 9)).toBe(false)
    expect(isTimely('', NOW_S)).toBe(false)
  })
})

describe(isPlainlySignedByAny, () => {
  const plain = makeSign([SECRET])(ID, NOW_S, BODY).plain

  test('any of the secrets is enough', () => {
    expect(isPlainlySignedByAny([SECRET], plain, BODY)).toBe(true)
    expect(isPlainlySignedByAny([OLD_SECRET, SECRET], plain, Buffer.from(BODY))).toBe(true)
    expect(isPlainlySignedByAny([OLD_SECRET], plain, BODY)).toBe(false)
    expect(isPlainlySignedByAny([], plain, BODY)).toBe(false)
  })

  test.each([
    ['of another body', plain, `${BODY} `],
    ['in upper case', plain.toUpperCase(), BODY],
    ['that is cut', plain.slice(0, -1), BODY],
    ['of no length', '', BODY],
    ['in base64', Buffer.from(plain, 'hex').toString('base64'), BODY],
  ])('a signature %s does not fit', (_, signature, body) => {
    expect(isPlainlySignedByAny([SECRET], signature, body)).toBe(false)
  })
})

describe('a secret that a missing setting left behind', () => {
  test.each([
    '',
    'whsec_',
    'undefined',
    'null',
    'whsec_undefined',
    '!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!',
  ])('%j neither signs nor verifies', (secret) => {
    const key = Buffer.from(secret.replace('whsec_', ''), 'base64')
    const forged = createHmac('sha256', key).update(`${ID}.${NOW_S}.${BODY}`).digest('base64')
    const headers = { ...signed([SECRET]), 'webhook-signature': `v1,${forged}` }
    expect(() => verifyWebhook(secret, headers, BODY, { nowS: NOW_S })).toThrow('24 bytes')
    expect(() => isPlainlySignedByAny([secret], '', BODY)).toThrow('24 bytes')
    const parts = { id: ID, timestamp: String(NOW_S), signatures: `v1,${forged}` }
    expect(() => isSignedByAny([secret], parts, BODY)).toThrow('24 bytes')
    expect(() => makeSign([secret])).toThrow('24 bytes')
    expect(() => makeSign([SECRET, secret])).toThrow('24 bytes')
  })
})

describe(isSameText, () => {
  test.each([
    ['', '', true],
    ['abc', 'abc', true],
    ['é漢🎉', 'é漢🎉', true],
    ['abc', 'abd', false],
    ['abc', 'ab', false],
    ['', 'a', false],
    ['abc', 'abc\u0000', false],
    ['a', 'a'.repeat(100_000), false],
  ])('%j and %j: %s', (a, b, isSame) => {
    expect(isSameText(a, b)).toBe(isSame)
    expect(isSameText(b, a)).toBe(isSame)
  })
})
