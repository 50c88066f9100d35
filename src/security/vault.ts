import { z } from 'zod'
import type { Secret } from '../core/secret.ts'

const MAX_ANSWER_BYTES = 65_536

export interface VaultOptions {
  /** Where Vault answers, without `/v1`. */
  readonly url: string
  readonly mount: string
  readonly key: string
  /** Unset where the URL is a Vault agent's that adds one. */
  readonly token: Secret | undefined
  readonly fetch: typeof fetch
  readonly timeoutMs: number
}

/**
 * What came of a call. `refused`: Vault looked at what it was given, and it will never take it. `denied`: it will not do this
 * for us as things stand. `away`: it could not be asked, or could not say.
 */
export type VaultAnswer =
  | { readonly kind: 'ok'; readonly data: Readonly<Record<string, unknown>> }
  | { readonly kind: 'refused' | 'denied' | 'away'; readonly reason: string }

export type CallVault = (
  operation: 'encrypt' | 'decrypt',
  body: Readonly<Record<string, string>>,
) => Promise<VaultAnswer>

const okBody = z.object({ data: z.record(z.string(), z.unknown()) })
const errorBody = z.object({ errors: z.array(z.string()) })

/**
 * One call of Vault's transit engine (`POST /v1/{mount}/{operation}/{key}`); OpenBao answers the same. No redirect is
 * followed: the token goes where the operator said and nowhere else. A reason never quotes what was sent or answered.
 */
export function makeCallVault(options: VaultOptions): CallVault {
  const base = `${options.url.replace(/\/+$/, '')}/v1/${options.mount}`
  return async (operation, body) => {
    try {
      const response = await options.fetch(`${base}/${operation}/${options.key}`, {
        method: 'POST',
        headers: {
          'content-type': 'application/json',
          // Agents take no request without it, so that no browser can be made to send one.
          'x-vault-request': 'true',
          ...(options.token === undefined ? {} : { 'x-vault-token': options.token.reveal() }),
        },
        body: JSON.stringify(body),
        redirect: 'manual',
        signal: AbortSignal.timeout(options.timeoutMs),
      })
      const text = await readCapped(response)
      if (text === null) return { kind: 'away', reason: 'its answer is too large' }
      return judge(response.status, text)
    } catch (error) {
      return { kind: 'away', reason: reasonOf(error) }
    }
  }
}

/** null: larger than any answer of Vault's; the rest is not read. */
async function readCapped(response: Response): Promise<string | null> {
  const chunks: Uint8Array[] = []
  let bytes = 0
  for await (const chunk of response.body ?? []) {
    bytes += chunk.byteLength
    if (bytes > MAX_ANSWER_BYTES) return null
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString()
}

function judge(status: number, text: string): VaultAnswer {
  if (status === 200) {
    const parsed = okBody.safeParse(parseJson(text))
    if (parsed.success) return { kind: 'ok', data: parsed.data.data }
    return { kind: 'away', reason: 'it answered 200 with something else than a result' }
  }
  const known = knownError(text)
  const reason = `it answered ${status}${known === null ? '' : `, ${known}`}`
  if (status === 400) return { kind: 'refused', reason }
  if (status === 403 || status === 404 || status === 405) return { kind: 'denied', reason }
  return { kind: 'away', reason }
}

/** Errors of Vault that help an operator. Others are not repeated: a proxy in between could say anything. */
const KNOWN_ERRORS = [
  'Vault is sealed',
  'permission denied',
  'invalid token',
  'token expired',
  'missing client token',
  'no handler for route',
  'unsupported path',
  'encryption key not found',
  'message authentication failed',
  "missing 'context' for key derivation",
  'provided for non-AEAD cipher suite',
  'disallowed by policy (too old)',
  'version is too new',
  'no prefix',
]

function knownError(text: string): string | null {
  const parsed = errorBody.safeParse(parseJson(text))
  const said = parsed.success ? parsed.data.errors.join('\n') : ''
  return KNOWN_ERRORS.find((known) => said.includes(known)) ?? null
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return null
  }
}

function reasonOf(error: unknown): string {
  for (let at = error; at instanceof Error; at = at.cause) {
    if (at.name === 'TimeoutError') return 'it did not answer in time'
    if ('code' in at && typeof at.code === 'string') return `it could not be reached (${at.code})`
  }
  return 'it could not be reached'
}
