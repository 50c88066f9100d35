import { z } from 'zod'
import { combinationProblems } from './config-problems.ts'
import { DEFAULT_SCHEDULE_S, scheduleProblem } from './core/schedule.ts'
import { Secret, secretText } from './core/secret.ts'
import { parseAllowList } from './egress/allow-list.ts'

const list = z.string().transform((text) =>
  text
    .split(',')
    .map((item) => item.trim())
    .filter((item) => item !== ''),
)
const hostList = list.superRefine((items, context) => {
  for (const item of items) {
    try {
      parseAllowList([item])
    } catch {
      context.addIssue(`"${item}" is not a CIDR, a host or host:port`)
    }
  }
})
const proxyUrl = z
  .string()
  .refine(
    (text) => /^https?:\/\/(?:[^%/?#\s]|%[0-9a-f]{2})+\/?$/i.test(text) && URL.canParse(text),
    'must be an http or https URL without a path, like http://user:password@proxy:3128 (a % in it written as %25)',
  )
  .pipe(secretText)
const port = z.coerce.number('must be a port number').int().min(0).max(65_535)
const httpUrl = z.url({ protocol: /^https?$/, error: 'must be an http or https URL' })
const publicUrl = httpUrl
  .refine((text) => isOrigin(text.replace(/\/$/, '')), 'must have no path and no query')
  .transform((text) => text.replace(/\/$/, ''))
const count = (most: number) => z.coerce.number('must be a number').int().min(0).max(most)
const onOff = z.enum(['on', 'off']).transform((value) => value === 'on')

const network = z.union([z.cidrv4(), z.cidrv6(), z.ipv4(), z.ipv6()], {
  error: ({ input }) => `${JSON.stringify(input)} is not a CIDR or an address`,
})
const origin = z.string().refine(isOrigin, {
  error: ({ input }) =>
    `${JSON.stringify(input)} is not an origin like https://app.example.com; there is no wildcard`,
})

const MASTER_KEY_TEXT = /^[A-Za-z0-9+/]{43}=$/
const masterKey = z
  .string()
  .refine(
    (text) => MASTER_KEY_TEXT.test(text),
    'must be 32 bytes in base64 (make one with: openssl rand -base64 32)',
  )
  .pipe(secretText)

const vaultName = /^\w(?:[\w.-]*\w)?$/
const vaultMount = /^\w(?:[\w.-]*\w)?(?:\/\w(?:[\w.-]*\w)?)*$/

/** A master key that may still open: one of our own, or one in Vault. */
export type PreviousMasterKey =
  | { readonly kind: 'local'; readonly key: Secret }
  | { readonly kind: 'vault'; readonly mount: string; readonly key: string }

function parsePreviousKey(text: string): PreviousMasterKey | null {
  if (MASTER_KEY_TEXT.test(text)) return { kind: 'local', key: new Secret(text) }
  const [, mount, key] = /^vault:(.+)\/([^/]+)$/.exec(text) ?? []
  if (mount === undefined || key === undefined) return null
  return vaultMount.test(mount) && vaultName.test(key) ? { kind: 'vault', mount, key } : null
}

const previousMasterKeys = list.transform((items, context) => {
  const keys = items.map(parsePreviousKey).filter((key) => key !== null)
  if (keys.length === items.length) return keys
  context.addIssue('must be keys of 32 bytes in base64, or like vault:transit/patchbay')
  return z.NEVER
})

/**
 * Every setting: its shape, default and description in one place. `.env.example` and the table in the README are made from
 * this object (`npm run settings`).
 */
export const settings = z.object({
  DATABASE_URL: z
    .url({ protocol: /^postgres(ql)?$/, error: 'must be a postgres:// URL' })
    .pipe(secretText)
    .optional()
    .describe(
      'Postgres 15 to 18. Unset: an embedded Postgres 18 with its data under `PATCHBAY_DIR`.',
    ),
  PORT: port.default(8787).describe('Port of the HTTP API; 0 takes any free one.'),
  METRICS_PORT: port
    .optional()
    .describe(
      'Port on `HOST` where this process answers `/metrics` and `/healthz`, and nothing else: for a worker, which listens nowhere without it, or beside the API.',
    ),
  HOST: z.string().min(1).default('127.0.0.1').describe('Address the HTTP API listens on.'),
  AUTH_JWKS_URL: httpUrl
    .optional()
    .describe("The identity provider's JWKS: tokens are checked against its public keys."),
  AUTH_JWT_SECRET: z
    .string()
    .refine((text) => Buffer.byteLength(text) >= 32, 'must have at least 32 bytes')
    .pipe(secretText)
    .optional()
    .describe(
      'Shared secret for HS256 tokens on one-machine setups, instead of a JWKS. Embedded: made when unset.',
    ),
  AUTH_ISSUER: z.string().min(1).optional().describe('The `iss` every token must carry, if set.'),
  AUTH_AUDIENCE: z.string().min(1).optional().describe('The `aud` every token must carry, if set.'),
  AUTH_TOKEN_TYPE: z
    .string()
    .regex(/^[A-Za-z0-9.+/-]+$/, 'must be the type of a token, like at+jwt')
    .optional()
    .describe(
      'The `typ` every token must carry in its header, like `at+jwt`. Unset: any; then `AUTH_AUDIENCE` must be an API, not a client id, or an ID token passes too.',
    ),
  AUTH_ORG_CLAIM: z
    .string()
    .regex(/^[A-Za-z0-9_:./-]+$/, 'must be the name of a claim, like orgs')
    .optional()
    .describe(
      'Claim that may grant permissions per org, like `orgs`. Unset: only `org_members` grants.',
    ),
  MASTER_KEY: masterKey
    .optional()
    .describe(
      '32 bytes, base64: wraps the keys of stored secrets. Embedded: made under `PATCHBAY_DIR` when unset.',
    ),
  MASTER_KEY_PREVIOUS: previousMasterKeys
    .default([])
    .describe(
      'Earlier master keys, needed until `npm run keys:rotate` is done: base64, or like `vault:transit/patchbay`.',
    ),
  KMS_VAULT_KEY: z
    .string()
    .regex(vaultName, 'must be the name of a key')
    .optional()
    .describe(
      "Instead of `MASTER_KEY`: a key of Vault's (or OpenBao's) transit engine wraps the keys of stored secrets.",
    ),
  KMS_VAULT_URL: httpUrl
    .optional()
    .describe('Where Vault answers, like `https://vault.internal:8200`.'),
  KMS_VAULT_TOKEN: secretText
    .optional()
    .describe('Token for Vault. Unset where the URL is an agent that adds one.'),
  KMS_VAULT_MOUNT: z
    .string()
    .regex(vaultMount, 'must be a path like transit')
    .default('transit')
    .describe('Where the transit engine is mounted.'),
  EGRESS_ALLOW: hostList
    .default([])
    .describe(
      'CIDRs, hosts or host:port that are not public and that URLs of any provider may reach all the same.',
    ),
  EGRESS_ALLOW_INTERNAL: hostList
    .default([])
    .describe(
      'The same, for `internal-http` integrations only, which reach what these two list and nothing else.',
    ),
  EGRESS_DENY: hostList
    .default([])
    .describe(
      "What is never called, whatever else is listed: public addresses of this machine behind a router, the network's own NAT64 prefix.",
    ),
  INTERNAL_HTTP_ORGS: list
    .optional()
    .describe('Org ids that may install and use `internal-http`. Unset: every org.'),
  EGRESS_PROXY: proxyUrl
    .optional()
    .describe(
      'Forward proxy for all calls that orgs configured, like `http://user:password@proxy:3128`: tunnels (CONNECT) to the address that was checked. `HTTP_PROXY` and its kind have no effect.',
    ),
  EGRESS_HTTP: z
    .enum(['deny', 'allow'])
    .default('deny')
    .describe('Whether URLs may be plain http.'),
  RETRY_SCHEDULE: list
    .transform((items) => items.map(Number))
    .superRefine((schedule, context) => {
      const problem = scheduleProblem(schedule)
      if (problem !== null) context.addIssue(problem)
    })
    .default(DEFAULT_SCHEDULE_S)
    .describe('Seconds to wait after the first, second, … failed try.'),
  RETENTION_DAYS: z.coerce
    .number('must be a number of days')
    .int()
    .min(1)
    .max(3650)
    .default(30)
    .describe(
      'Days that events, the delivery log and tool runs are kept, and what apps have sent is known again.',
    ),
  WORKER_CONCURRENCY: z.coerce
    .number('must be a number')
    .int()
    .min(1)
    .max(10_000)
    .default(512)
    .describe('Deliveries one worker process has in flight at most.'),
  LEASE_SECONDS: z.coerce
    .number('must be a number of seconds')
    .int()
    .min(4)
    .max(300)
    .default(30)
    .describe(
      'How long a delivery belongs to the worker that took it; another takes it over after that. A try lasts at most half as long, and 15 s.',
    ),
  DURABLE_LEASES: onOff
    .default(true)
    .describe(
      '`off`: a crash of Postgres may repeat deliveries (never lose any), and claims get cheaper.',
    ),
  RATE_LIMIT_PRINCIPAL: count(1_000_000)
    .default(30_000)
    .describe('Requests a minute of one principal, over all processes; 0: as many as come.'),
  RATE_LIMIT_INTEGRATION: count(1_000_000)
    .default(6000)
    .describe(
      'Tool runs a minute through one integration, and requests a minute of its app to us, over all processes; 0: as many as come.',
    ),
  APPROVAL_SECONDS: z.coerce
    .number('must be a number')
    .int()
    .min(10)
    .max(2_592_000)
    .default(86_400)
    .describe('How long a tool call waits for its approval; after that it is not run.'),
  TOOL_CONCURRENCY: z.coerce
    .number('must be a number')
    .int()
    .min(1)
    .max(10_000)
    .default(16)
    .describe(
      'Tool runs of one org at once in one process. Four times as many wait, 5 s at most; the rest is answered 429.',
    ),
  WEBHOOKS_PER_ORG: z.coerce
    .number('must be a number')
    .int()
    .min(1)
    .max(1_000_000)
    .default(5000)
    .describe('Subscriptions of one org at most: one event may be owed to all of them.'),
  TOOLS_PER_ORG: z.coerce
    .number('must be a number')
    .int()
    .min(1)
    .max(100_000)
    .default(500)
    .describe('Tools of one org at most; their schemas together have 8 KiB for each of them.'),
  TRUSTED_PROXIES: list
    .pipe(z.array(network))
    .default([])
    .describe(
      "CIDRs or addresses of the proxies in front: `X-Forwarded-For` and `X-Forwarded-Proto` are read from these only. Unset: the socket's address is the caller's.",
    ),
  CORS_ORIGINS: list
    .pipe(z.array(origin))
    .default([])
    .describe(
      'Origins of web pages that may call the API, each as a browser sends it, like `https://app.example.com`. Unset: none.',
    ),
  PUBLIC_URL: publicUrl
    .optional()
    .describe(
      'Where apps, browsers and MCP clients reach this API, like `https://patchbay.example.com`: needed to install Slack. Also who signs the context tokens of tools.',
    ),
  SLACK_CLIENT_ID: z
    .string()
    .min(1)
    .optional()
    .describe('Of your Slack app: organizations then install Slack with a click.'),
  SLACK_CLIENT_SECRET: secretText.optional().describe('Of the same Slack app.'),
  SLACK_SIGNING_SECRET: secretText
    .optional()
    .describe('Of the same Slack app: what Slack sends is checked with it.'),
  SLACK_API_URL: httpUrl
    .refine((text) => text.endsWith('/'), 'must end with /')
    .default('https://slack.com/api/')
    .describe("Slack's Web API; `https://slack-gov.com/api/` for GovSlack."),
  SLACK_WEBHOOK_HOSTS: list
    .default(['hooks.slack.com', 'hooks.slack-gov.com'])
    .describe('Hosts of incoming webhooks and response URLs of Slack.'),
  TEAMS_WORKFLOW_HOSTS: list
    .default(['*.environment.api.powerplatform.com', '*.logic.azure.com'])
    .describe('Hosts of Teams Workflows URLs; sovereign clouds have others.'),
  LOG_LEVEL: z
    .enum(['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'])
    .default('info')
    .describe('Least severe log line that is written.'),
  LLM_BASE_URL: httpUrl
    .optional()
    .describe('OpenAI-compatible API of the reference chat. Unset: a small built-in demo model.'),
  LLM_API_KEY: secretText.optional().describe('Key for `LLM_BASE_URL`.'),
  LLM_MODEL: z.string().min(1).optional().describe('Model name at `LLM_BASE_URL`.'),
  PATCHBAY_DIR: z
    .string()
    .min(1)
    .default('.patchbay')
    .describe('Where the embedded Postgres and the keys made for it live.'),
  EMBEDDED_PG_PORT: port
    .default(0)
    .describe('Port of the embedded Postgres; 0 keeps the last one, or takes a free one.'),
})

function isOrigin(text: string): boolean {
  return /^https?:/.test(text) && URL.canParse(text) && new URL(text).origin === text
}

export type Config = z.output<typeof settings>

const MAX_ATTEMPT_MS = 15_000

/** How long a try may take: a try that starts in the first half of its lease ends within it. */
export function attemptTimeoutMs(config: Config): number {
  return Math.min(MAX_ATTEMPT_MS, (config.LEASE_SECONDS * 1000) / 2)
}

/** Settings that cannot be used, one line each. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError'
  readonly problems: readonly string[]

  constructor(problems: readonly string[]) {
    super(problems.join('\n'))
    this.problems = problems
  }
}

/**
 * Parses the whole environment, once. An empty value counts as unset.
 *
 * @throws ConfigError with one line for each problem, naming the setting
 */
export function parseConfig(env: Readonly<Record<string, string | undefined>>): Config {
  const given = Object.fromEntries(
    Object.keys(settings.shape)
      .map((name) => [name, env[name]])
      .filter(([, value]) => value !== undefined && value !== ''),
  )
  const parsed = settings.safeParse(given)
  const problems = parsed.success
    ? combinationProblems(parsed.data)
    : parsed.error.issues.map((issue) => `${String(issue.path[0])}: ${issue.message}`)
  if (!parsed.success || problems.length > 0) throw new ConfigError(problems)
  return parsed.data
}
