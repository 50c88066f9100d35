import { isSensitiveHeader } from '../core/header.ts'
import type { Provider } from '../core/provider.ts'
import { makeRedact } from '../core/redact.ts'
import { type StoredSecret, validSecrets } from '../core/rotation.ts'
import type { Keyring } from '../security/keyring.ts'
import { makeSign } from '../security/signature.ts'
import { openCredentials } from './credentials.ts'
import { sealContext } from './subscription.ts'

/** The sealed columns of a subscription, as the worker loads them. */
interface SealedSubscription {
  readonly subscription_id: string
  readonly org_id: string
  readonly integration_id: string
  readonly provider_key: string
  readonly credentials: Buffer | null
  readonly url: string
  readonly sealed_url: Buffer | null
  readonly secrets: Buffer
  readonly headers: Buffer | null
  readonly max_age_seconds: number | null
  readonly retry_schedule: number[] | null
  readonly content: 'thin' | 'full'
  readonly egress_domains: string[] | null
}

interface OpenLaneDeps<Verdict> {
  readonly keyring: Keyring
  readonly getProvider: (key: string) => Provider
  readonly judgeUrl: (
    url: string,
    caller: {
      readonly orgId: string
      readonly network: Provider['network']
      readonly domains: readonly string[] | null
    },
  ) => Verdict
  readonly defaultScheduleS: readonly number[]
}

/** Opens a subscription for sending: decrypts once, parses the URL once, prepares the keys of every valid secret. */
export function makeOpenLane<Verdict>(deps: OpenLaneDeps<Verdict>) {
  return async function openLane(row: SealedSubscription, nowMs: number) {
    const open = (column: string, sealed: Buffer) =>
      deps.keyring.open(sealContext(row.org_id, row.subscription_id, column), sealed)
    const provider = deps.getProvider(row.provider_key)
    const url = row.sealed_url === null ? row.url : await open('sealed_url', row.sealed_url)
    const headers: Record<string, string> =
      row.headers === null ? {} : JSON.parse(await open('headers', row.headers))
    const stored: StoredSecret[] = JSON.parse(await open('secrets', row.secrets))
    const valid = validSecrets(stored, nowMs)
    const { network } = provider
    const integrationId = row.integration_id
    const sender = provider.open({
      url,
      integrationId,
      credentials: provider.needsCredentials(url)
        ? await openCredentials(deps.keyring, row.org_id, integrationId, row.credentials)
        : {},
    })
    const caller = { orgId: row.org_id, network, domains: row.egress_domains }
    const ends = valid.map(({ expiresAt }) =>
      expiresAt === null ? Infinity : Date.parse(expiresAt),
    )
    return {
      staleAtMs: Math.min(...ends),
      config: {
        url: deps.judgeUrl(sender.url, caller),
        network,
        integrationId,
        headers: [...Object.entries(headers).flat(), ...sender.headers],
        sign: makeSign(valid.map((entry) => entry.secret)),
        scheduleS: row.retry_schedule ?? deps.defaultScheduleS,
        maxAgeS: row.max_age_seconds,
        content: row.content,
        sender,
        redact: makeRedact([
          ...valid.map((entry) => entry.secret),
          ...sender.secrets,
          ...secretsOfHeaders(headers),
          ...(row.sealed_url === null ? [] : secretsOfUrl(url)),
        ]),
      },
    }
  }
}

/** Shorter values are words like `true`, and taking them out would make an answer unreadable. */
const MIN_HEADER_SECRET = 6
/** In a URL that is a secret, what is shorter is a word of its path. */
const MIN_URL_SECRET = 16

/** The values that a reader of the subscription sees masked, in whole and each part: of `Bearer abc`, of `a=b; c=d`. */
function secretsOfHeaders(headers: Readonly<Record<string, string>>): string[] {
  return Object.entries(headers)
    .filter(([name]) => isSensitiveHeader(name))
    .flatMap(([, value]) => [value, ...value.split(/[\s;,]+|(?<==)(?!=)/)])
    .filter((part) => part.length >= MIN_HEADER_SECRET)
}

/** Where the URL itself is the secret, its path and its query are what makes it one, in whole and in parts. */
function secretsOfUrl(href: string): string[] {
  const { pathname, search, searchParams } = new URL(href)
  const parts = [...pathname.split('/'), ...searchParams.values()]
  return [href, pathname + search, ...parts.filter((part) => part.length >= MIN_URL_SECRET)]
}
