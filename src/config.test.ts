import { inspect } from 'node:util'
import { describe, expect, test } from 'vitest'
import { ConfigError, parseConfig, settings } from './config.ts'

const KEY = Buffer.alloc(32, 7).toString('base64')
const SECRET = 's'.repeat(32)
const external = { DATABASE_URL: 'postgres://u:p@db/x', AUTH_JWT_SECRET: SECRET, MASTER_KEY: KEY }

function problemsOf(env: Record<string, string>): readonly string[] {
  try {
    parseConfig(env)
  } catch (error) {
    if (error instanceof ConfigError) return error.problems
    throw error
  }
  return []
}

test('an empty environment is the embedded mode with every default', () => {
  const config = parseConfig({})
  expect(config.DATABASE_URL).toBeUndefined()
  expect(config.INTERNAL_HTTP_ORGS).toBeUndefined()
  expect(config).toMatchObject({
    PORT: 8787,
    HOST: '127.0.0.1',
    EGRESS_ALLOW: [],
    EGRESS_HTTP: 'deny',
    RETENTION_DAYS: 30,
    WORKER_CONCURRENCY: 512,
    DURABLE_LEASES: true,
    PATCHBAY_DIR: '.patchbay',
  })
})

test('an empty value is unset', () => {
  const empty = Object.fromEntries(Object.keys(settings.shape).map((name) => [name, '']))
  expect(parseConfig(empty)).toEqual(parseConfig({}))
})

test('what is not a setting is not looked at', () => {
  expect(parseConfig({ PATH: '/bin', port: 'x' })).toEqual(parseConfig({}))
})

test('values are parsed into what they mean', () => {
  expect(
    parseConfig({
      PORT: '0',
      EGRESS_ALLOW: ' 10.0.0.0/8, db:5432,, ',
      RETRY_SCHEDULE: '1,2, 3',
      DURABLE_LEASES: 'off',
      INTERNAL_HTTP_ORGS: 'a,b',
      TRUSTED_PROXIES: '10.0.0.0/8, ::1,fd00::/8',
      CORS_ORIGINS: 'https://app.example.com,http://localhost:3000',
    }),
  ).toMatchObject({
    PORT: 0,
    EGRESS_ALLOW: ['10.0.0.0/8', 'db:5432'],
    RETRY_SCHEDULE: [1, 2, 3],
    DURABLE_LEASES: false,
    INTERNAL_HTTP_ORGS: ['a', 'b'],
    TRUSTED_PROXIES: ['10.0.0.0/8', '::1', 'fd00::/8'],
    CORS_ORIGINS: ['https://app.example.com', 'http://localhost:3000'],
  })
})

test.each([
  ['PORT', '65536'],
  ['PORT', 'http'],
  ['PORT', '80.5'],
  ['DATABASE_URL', 'mysql://db'],
  ['DATABASE_URL', 'db'],
  ['AUTH_JWKS_URL', 'ftp://id'],
  ['AUTH_JWT_SECRET', 'short'],
  ['AUTH_JWT_SECRET', 's'.repeat(31)],
  ['AUTH_JWT_SECRET', 'ß'.repeat(15)],
  ['AUTH_TOKEN_TYPE', 'at jwt'],
  ['AUTH_ORG_CLAIM', 'a b'],
  ['MASTER_KEY', 'x'],
  ['MASTER_KEY', Buffer.alloc(31).toString('base64')],
  ['MASTER_KEY_PREVIOUS', 'x'],
  ['MASTER_KEY_PREVIOUS', `${KEY},vault:patchbay`],
  ['MASTER_KEY_PREVIOUS', 'vault:transit/../sys/seal'],
  ['KMS_VAULT_KEY', 'a/b'],
  ['KMS_VAULT_KEY', '../x'],
  ['KMS_VAULT_MOUNT', '/transit'],
  ['KMS_VAULT_URL', 'vault:8200'],
  ['EGRESS_HTTP', 'yes'],
  ['EGRESS_ALLOW', '10.0.0.0/33'],
  ['EGRESS_ALLOW_INTERNAL', 'billing, https://billing'],
  ['EGRESS_DENY', '*.example.com'],
  ['EGRESS_PROXY', 'proxy:3128'],
  ['EGRESS_PROXY', 'socks5://proxy:1080'],
  ['EGRESS_PROXY', 'http://proxy:3128/path'],
  ['EGRESS_PROXY', 'http://user:100%@proxy:3128'],
  ['RETRY_SCHEDULE', '5,soon'],
  ['RETRY_SCHEDULE', '-1'],
  ['RETENTION_DAYS', '0'],
  ['RETENTION_DAYS', 'month'],
  ['WORKER_CONCURRENCY', '0'],
  ['DURABLE_LEASES', 'true'],
  ['RATE_LIMIT_PRINCIPAL', '-1'],
  ['RATE_LIMIT_INTEGRATION', 'many'],
  ['TOOL_CONCURRENCY', '0'],
  ['TRUSTED_PROXIES', '10.0.0.0/8,proxy.internal'],
  ['TRUSTED_PROXIES', '10.0.0.0/33'],
  ['TRUSTED_PROXIES', '10.0.0.1\n,x'],
  ['CORS_ORIGINS', '*'],
  ['CORS_ORIGINS', 'null'],
  ['CORS_ORIGINS', 'https://app.example.com/'],
  ['CORS_ORIGINS', 'https://App.example.com'],
  ['CORS_ORIGINS', 'app.example.com'],
  ['LOG_LEVEL', 'loud'],
  ['LLM_BASE_URL', 'api'],
])('%s=%s is one problem that names the setting', (name, value) => {
  const problems = problemsOf({ [name]: value })
  expect(problems).toEqual([expect.stringMatching(`^${name}: \\S`)])
  expect(problems.join()).not.toContain('\n')
})

test('a shared secret is measured in bytes', () => {
  expect(problemsOf({ AUTH_JWT_SECRET: 'ß'.repeat(16) })).toEqual([])
})

test('the proxy may want credentials, which are not printed', () => {
  const { EGRESS_PROXY } = parseConfig({ EGRESS_PROXY: 'https://user:p%40ss@proxy:3128' })
  expect(`${EGRESS_PROXY} ${JSON.stringify({ EGRESS_PROXY })}`).not.toContain('p%40ss')
  expect(EGRESS_PROXY?.reveal()).toBe('https://user:p%40ss@proxy:3128')
})

test('several wrong values are told at once, a line each', () => {
  const error = () => parseConfig({ PORT: 'x', LOG_LEVEL: 'y', MASTER_KEY: 'z' })
  expect(error).toThrow(/^PORT: .*\nMASTER_KEY: .*\nLOG_LEVEL: .*$/)
})

describe('combinations', () => {
  test('a database of the operator comes with a way to check tokens and a master key', () => {
    expect(problemsOf(external)).toEqual([])
    expect(problemsOf({ DATABASE_URL: external.DATABASE_URL })).toEqual([
      expect.stringMatching(/^AUTH_JWKS_URL: /),
      expect.stringMatching(/^MASTER_KEY: /),
    ])
  })

  test('a JWKS and a shared secret exclude each other', () => {
    expect(problemsOf({ ...external, AUTH_JWKS_URL: 'https://id.example.com/jwks' })).toEqual([
      expect.stringMatching(/^AUTH_JWT_SECRET: /),
    ])
  })

  test('the port of the metrics alone is another one than that of the API', () => {
    expect(problemsOf({ METRICS_PORT: '8787' })).toEqual([
      expect.stringMatching(/^METRICS_PORT: must not be PORT/),
    ])
    expect(problemsOf({ METRICS_PORT: '9464' })).toEqual([])
    expect(problemsOf({ METRICS_PORT: '0', PORT: '0' })).toEqual([])
  })

  test('what wraps is a master key of ours or a key of Vault, never both', () => {
    const { DATABASE_URL, AUTH_JWT_SECRET, MASTER_KEY } = external
    const vault = { KMS_VAULT_KEY: 'patchbay', KMS_VAULT_URL: 'https://vault:8200' }
    expect(problemsOf({ DATABASE_URL, AUTH_JWT_SECRET, ...vault })).toEqual([])
    expect(problemsOf({ ...external, ...vault })).toEqual([
      expect.stringMatching(/^MASTER_KEY: must not be set beside KMS_VAULT_KEY/),
    ])
    expect(parseConfig({ ...vault, MASTER_KEY_PREVIOUS: MASTER_KEY })).toMatchObject({
      MASTER_KEY_PREVIOUS: [{ kind: 'local' }],
      KMS_VAULT_MOUNT: 'transit',
    })
  })

  test('a key of Vault, also one that may still open, needs to know where Vault is', () => {
    const previous = { ...external, MASTER_KEY_PREVIOUS: 'vault:admin/transit/patchbay' }
    expect(problemsOf(previous)).toEqual([expect.stringMatching(/^KMS_VAULT_URL: must be set/)])
    expect(problemsOf({ KMS_VAULT_KEY: 'patchbay' })).toEqual([
      expect.stringMatching(/^KMS_VAULT_URL: must be set/),
    ])
    expect(parseConfig({ ...previous, KMS_VAULT_URL: 'https://vault' })).toMatchObject({
      MASTER_KEY_PREVIOUS: [{ kind: 'vault', mount: 'admin/transit', key: 'patchbay' }],
    })
    expect(problemsOf({ ...external, KMS_VAULT_URL: 'https://vault' })).toEqual([
      expect.stringMatching(/^KMS_VAULT_KEY: must be set/),
    ])
  })

  test('Vault is spoken to over TLS, except on this machine', () => {
    const at = (url: string, more = {}) =>
      problemsOf({ KMS_VAULT_KEY: 'patchbay', KMS_VAULT_URL: url, ...more })
    const tls = [expect.stringMatching(/^KMS_VAULT_URL: must be https/)]
    expect(at('http://vault:8200')).toEqual(tls)
    expect(at('http://127.0.0.1.example.com')).toEqual(tls)
    expect(at('http://vault:8200', { EGRESS_HTTP: 'allow' })).toEqual([])
    for (const here of ['localhost', '127.0.0.1', '[::1]']) {
      expect(at(`http://${here}:8200`)).toEqual([])
    }
    expect(at('https://user:pass@vault')).toEqual([expect.stringMatching(/^KMS_VAULT_URL: /)])
  })

  test('a model API needs the name of a model', () => {
    expect(problemsOf({ LLM_BASE_URL: 'https://llm.example.com' })).toEqual([
      expect.stringMatching(/^LLM_MODEL: /),
    ])
  })
})

test('a Slack app is what its four settings make together, on an address that Slack takes', () => {
  const app = { SLACK_CLIENT_ID: '1.2', SLACK_CLIENT_SECRET: 'x', SLACK_SIGNING_SECRET: 'y' }
  expect(problemsOf(app)).toEqual([expect.stringMatching(/^PUBLIC_URL: must be set/)])
  expect(problemsOf({ ...app, PUBLIC_URL: 'http://patchbay.example.com' })).toEqual([
    expect.stringMatching(/^PUBLIC_URL: must be https/),
  ])
  expect(problemsOf({ PUBLIC_URL: 'https://patchbay.example.com/api' })).toEqual([
    expect.stringMatching(/^PUBLIC_URL: must have no path/),
  ])
  const { PUBLIC_URL } = parseConfig({ ...external, ...app, PUBLIC_URL: 'https://p.example.com/' })
  expect(PUBLIC_URL).toBe('https://p.example.com')
})

test('secrets of the configuration do not print', () => {
  const previous = Buffer.alloc(32, 8).toString('base64')
  const config = parseConfig({
    ...external,
    LLM_API_KEY: 'llm-key',
    MASTER_KEY_PREVIOUS: `${previous},vault:transit/x`,
    KMS_VAULT_URL: 'https://vault',
    KMS_VAULT_TOKEN: 'hvs.token',
  })
  const printed = `${inspect(config, { depth: 9 })}${JSON.stringify(config)}${config.MASTER_KEY}`
  for (const secret of [SECRET, KEY, previous, 'u:p@db', 'llm-key', 'hvs.'])
    expect(printed).not.toContain(secret)
  expect(config.MASTER_KEY?.reveal()).toBe(KEY)
})

test('a value that is wrong is not shown, because it may be a secret', () => {
  const wrong = {
    AUTH_JWT_SECRET: 'hidden-1',
    MASTER_KEY: 'hidden-2',
    MASTER_KEY_PREVIOUS: 'hidden-4',
    DATABASE_URL: 'hidden-3',
  }
  expect(problemsOf(wrong).join('\n')).not.toContain('hidden')
})
