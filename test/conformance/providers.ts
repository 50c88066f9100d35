import { expect, test } from 'vitest'
import { z } from 'zod'
import type { EventRecord } from '../../src/core/event.ts'
import type { Provider, ProviderManifest, Sender } from '../../src/core/provider.ts'
import { describeAnswers } from './answers.ts'
import { EVENTS } from './events.ts'
import { describeInbound } from './inbound.ts'
import {
  INTEGRATION_ID,
  openSample,
  type ProviderSamples,
  secretsOf,
  type UrlSample,
} from './samples.ts'
import { describeVerify } from './verify.ts'

const words = z.string().regex(/^\p{Lu}[^<>]*$/u)

/** Every member, and no other. */
const manifest = z.strictObject({
  schemaVersion: z.literal(1),
  key: z.string().regex(/^[a-z][a-z0-9-]{0,62}$/),
  version: z.string().regex(/^\d+\.\d+\.\d+$/),
  name: words,
  description: words,
  docsUrl: z.url({ protocol: /^https$/ }),
  categories: z.array(z.string().regex(/^[a-z][a-z-]*$/)).min(1),
  permissions: z.array(words).min(1),
  supportsWebhooks: z.boolean(),
  supportsExternalTools: z.boolean(),
  supportsInbound: z.boolean(),
  install: z.enum(['paste', 'oauth']),
  verification: words,
}) satisfies z.ZodType<ProviderManifest>

/** What the catalogue shows of credentials and config. */
const shownSchema = z.looseObject({
  type: z.literal('object'),
  properties: z
    .record(z.string(), z.looseObject({ 'x-secret': z.boolean().optional() }))
    .optional(),
  additionalProperties: z
    .union([z.boolean(), z.looseObject({ 'x-secret': z.boolean().optional() })])
    .optional(),
})

const shown = (schema: z.ZodType) => shownSchema.parse(z.toJSONSchema(schema, { io: 'input' }))

/** What every app keeps to. To be called inside a `describe` of the provider. */
export function describeProvider(provider: Provider, samples: ProviderSamples): void {
  describeManifest(provider)
  describeSchemas(provider, samples)
  describeUrls(provider, samples)
  describeMessages(provider, samples)
  describeAnswers(provider, samples)
  describeVerify(provider, samples)
  describeInbound(provider, samples.inbound)
}

function describeManifest(provider: Provider): void {
  test('its manifest is plain data, of this version, with every member', () => {
    expect(manifest.parse(provider.manifest)).toEqual(provider.manifest)
    expect(JSON.parse(JSON.stringify(provider.manifest))).toEqual(provider.manifest)
  })

  test('its defaults are plain data', () => {
    expect(JSON.parse(JSON.stringify(provider.defaults))).toEqual(provider.defaults)
    expect(provider.defaults.rateLimit?.perSecond ?? 1).toBeGreaterThan(0)
  })
}

function describeSchemas(provider: Provider, samples: ProviderSamples): void {
  test('its credentials are a JSON Schema in which every secret is marked', () => {
    const { properties = {}, additionalProperties } = shown(provider.credentials)
    const unmarked = Object.entries(properties)
      .filter(([, property]) => property['x-secret'] !== true)
      .map(([name]) => name)
    expect(samples.publicCredentials).toEqual(expect.arrayContaining(unmarked))
    expect(additionalProperties).toSatisfy(
      (others) => others === false || (typeof others === 'object' && others['x-secret'] === true),
    )
  })

  test('its config is a JSON Schema in which nothing is a secret: it is shown', () => {
    expect(JSON.stringify(shown(provider.config))).not.toContain('x-secret')
  })

  test('it takes credentials as they are, and none at all', () => {
    expect(provider.credentials.parse({})).toEqual({})
    for (const credentials of samples.credentials) {
      expect(provider.credentials.parse(credentials)).toEqual(credentials)
    }
  })

  test.each([
    [{ 'no such-member': 'x' }],
    [{ botToken: 1 }],
    [{ apiKey: null }],
    [[]],
    ['text'],
    [null],
  ])('it refuses the credentials %j', (credentials) => {
    expect(provider.credentials.safeParse(credentials).success).toBe(false)
  })

  test.each(samples.wrongCredentials)(
    'it refuses credentials of a wrong kind, and does not say them back: %#',
    (credentials) => {
      const { success, error } = provider.credentials.safeParse(credentials)
      expect(success).toBe(false)
      for (const value of Object.values(credentials)) {
        expect(error?.issues.map(({ message }) => message).join()).not.toContain(value)
      }
    },
  )

  test('it takes its configs, and none at all where it needs none', () => {
    expect(provider.config.safeParse({}).success).toBe(samples.needsConfig !== true)
    for (const config of samples.configs) expect(provider.config.parse(config)).toEqual(config)
  })

  test('what of its config is called is judged when it is saved', () => {
    for (const config of [{}, ...samples.configs]) {
      const called = provider.configUrl(config)
      if (called !== null) expect(config).toMatchObject({ [called.path]: called.url })
    }
  })

  test.each([...samples.wrongConfigs, { 'no such-member': 'x' }])(
    'it refuses the config %j',
    (config) => {
      expect(provider.config.safeParse(config).success).toBe(false)
    },
  )
}

function describeUrls(provider: Provider, samples: ProviderSamples): void {
  test.each(samples.urls)('it takes a URL of its app: %#', ({ url }) => {
    expect(provider.urlProblem(new URL(url))).toBeNull()
    expect(provider.needsCredentials(url)).toBeTypeOf('boolean')
  })

  test.each(samples.urls)('it shows nothing of a URL that is secret: %#', ({ url, secrets }) => {
    const masked = provider.maskUrl(new URL(url))
    expect(masked === null).toBe(secrets.length === 0)
    for (const secret of secrets) {
      expect(url).toContain(secret)
      expect(masked).not.toContain(secret)
    }
  })

  test.each(samples.wrongUrls)(
    'it says in words why a URL is none of its app, and nothing of what may be secret: %#',
    ({ url, secrets }) => {
      const problem = provider.urlProblem(new URL(url))
      expect(problem).toMatch(/^\p{L}+ .{10,}/u)
      for (const secret of [url, ...secrets]) expect(problem).not.toContain(secret)
    },
  )
}

function describeMessages(provider: Provider, samples: ProviderSamples): void {
  test.each(samples.urls)(
    'it opens a lane without credentials too, and calls http: %#',
    ({ url }) => {
      const sender = provider.open({ url, integrationId: INTEGRATION_ID, credentials: {} })
      expect(new URL(sender.url).protocol).toMatch(/^https?:$/)
      expect(sender.headers.length % 2).toBe(0)
      expect(sender.maxAnswerBytes).toBeGreaterThan(0)
    },
  )

  test.each(samples.urls)('every credential that it sends is named as a secret: %#', (sample) => {
    const { headers, secrets } = openSample(provider, samples, sample)
    const sent = secretsOf(samples).filter((secret) => headers.join('\n').includes(secret))
    expect(secrets).toEqual(expect.arrayContaining(sent))
  })

  test.each(EVENTS)(
    '%s is a message: the same bytes each time, JSON, within the limits',
    (_, event) => {
      for (const sample of samples.urls) {
        const { channel } = openSample(provider, samples, sample)
        for (const thread of channel === null ? [null] : [null, '1795446246.000100']) {
          expectMessage(samples, () => rendered(provider, samples, sample, event, thread))
        }
      }
    },
  )
}

/** By a lane of its own, so that nothing is left of the time before. */
function rendered(
  provider: Provider,
  samples: ProviderSamples,
  sample: UrlSample,
  event: EventRecord,
  thread: string | null,
) {
  return openSample(provider, samples, sample).render(Object.freeze({ ...event }), thread)
}

function expectMessage(samples: ProviderSamples, render: () => ReturnType<Sender['render']>): void {
  const { body, isSigned } = render()
  expect(render()).toEqual({ body, isSigned })
  const message: unknown = JSON.parse(body)
  expect(message).toBeTypeOf('object')
  // Bytes and text are the same thing: nothing is replaced when it is encoded.
  expect(Buffer.from(body).toString()).toBe(body)
  expect(Buffer.byteLength(body)).toBeLessThanOrEqual(samples.maxBodyBytes ?? Infinity)
  if (samples.harmful !== null) {
    // Written again, so that an escape hides nothing.
    expect(JSON.stringify(message)).not.toMatch(samples.harmful)
    expect(isSigned).toBe(false)
  }
}
