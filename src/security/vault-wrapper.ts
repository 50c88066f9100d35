import { randomBytes, randomUUID } from 'node:crypto'
import { AppError } from '../core/error.ts'
import { type KeyWrapper, type WrapContext, type Wrapped, wrapAad } from './key-wrapper.ts'
import { KeyDeniedError, KeyringError } from './keyring-error.ts'
import type { CallVault, VaultAnswer } from './vault.ts'

/** After a call that failed, how long until Vault is asked again. */
const REST_MS = 5000
const DATA_KEY_BYTES = 32

type Failure = VaultAnswer & { readonly kind: 'away' | 'denied' }

export interface VaultWrapperDeps {
  readonly call: CallVault
  readonly setting: string
  readonly mount: string
  readonly key: string
  /** Vault cannot be used from now on, and why; null: it can again. */
  readonly onChange: (reason: string | null) => void
  /** Of a clock that only moves forward. */
  readonly nowMs: () => number
}

/**
 * Data keys under a key of Vault's transit engine, which never leaves it. The org and the data key are sent as `associated_data`,
 * and as `context` for keys that are derived. Needs Vault 1.13 (or OpenBao), and only `update` on `encrypt/KEY` and `decrypt/KEY`.
 *
 *   usable ── a call fails ─▶ away, denied (every call fails at once; each 5 s one asks in the background) ── an answer ─▶ usable
 *
 * So an outage costs one caller the wait for an answer, not every one.
 */
export function makeVaultWrapper(deps: VaultWrapperDeps): KeyWrapper {
  const prefix = `vault:${deps.mount}/${deps.key}:v`
  let failure: Failure | null = null
  let askAgainAtMs = 0

  const note = (answer: VaultAnswer): void => {
    const before = failure
    failure = isFailure(answer) ? answer : null
    askAgainAtMs = deps.nowMs() + REST_MS
    if (failure === null && before !== null) deps.onChange(null)
    if (failure !== null && before === null) deps.onChange(failure.reason)
  }

  const encryptProbe = async (context: WrapContext, plain: Buffer): Promise<VaultAnswer> => {
    const answer = await deps.call('encrypt', {
      plaintext: plain.toString('base64'),
      ...bound(context),
    })
    note(answer)
    return answer
  }

  const call: CallVault = async (operation, body) => {
    if (failure === null) {
      const answer = await deps.call(operation, body)
      note(answer)
      return answer
    }
    if (deps.nowMs() >= askAgainAtMs) {
      askAgainAtMs = deps.nowMs() + REST_MS
      // Nobody waits for it: its end is noted for those who come after. It never rejects, and ends by its own timeout.
      void encryptProbe(newContext(), randomBytes(DATA_KEY_BYTES))
    }
    return failure
  }

  const wrap = async (dataKey: Buffer, context: WrapContext): Promise<Wrapped> => {
    const plaintext = dataKey.toString('base64')
    return toWrapped(dataOf(await call('encrypt', { plaintext, ...bound(context) })))
  }

  const toWrapped = (data: Readonly<Record<string, unknown>>): Wrapped => {
    const { ciphertext } = data
    const version =
      typeof ciphertext === 'string' ? /^vault:v(\d+):/.exec(ciphertext)?.[1] : undefined
    if (typeof ciphertext !== 'string' || version === undefined) {
      throw unavailable({
        kind: 'away',
        reason: 'it answered with something else than a ciphertext',
      })
    }
    return { wrapped: Buffer.from(ciphertext), masterKeyId: prefix + version }
  }

  const dataOf = (answer: VaultAnswer): Readonly<Record<string, unknown>> => {
    if (answer.kind === 'ok') return answer.data
    if (isFailure(answer)) throw unavailable(answer)
    throw new KeyringError(`Vault did not take a data key: ${answer.reason}`)
  }

  return {
    setting: deps.setting,
    prove: async () => {
      const [plain, here, elsewhere] = [randomBytes(DATA_KEY_BYTES), newContext(), newContext()]
      const sealed = await encryptProbe(here, plain)
      if (sealed.kind === 'refused' || sealed.kind === 'denied') {
        throw new KeyringError(notUsable(deps, 'encrypt', sealed.reason))
      }
      const ciphertext = toWrapped(dataOf(sealed)).wrapped.toString()
      const opened = await deps.call('decrypt', { ciphertext, ...bound(here) })
      if (opened.kind === 'refused' || opened.kind === 'denied') {
        throw new KeyringError(notUsable(deps, 'decrypt', opened.reason))
      }
      if (dataOf(opened).plaintext !== plain.toString('base64')) {
        throw new KeyringError(notUsable(deps, 'decrypt', 'it gave back something else'))
      }
      const moved = await deps.call('decrypt', { ciphertext, ...bound(elsewhere) })
      if (moved.kind === 'ok') {
        const why = 'it does not bind associated_data; Vault 1.13 or newer is needed'
        throw new KeyringError(notUsable(deps, 'decrypt', why))
      }
    },
    currentId: async () => (await wrap(randomBytes(DATA_KEY_BYTES), newContext())).masterKeyId,
    has: (masterKeyId) =>
      Promise.resolve(
        masterKeyId.startsWith(prefix) && /^\d+$/.test(masterKeyId.slice(prefix.length)),
      ),
    wrap,
    unwrap: async ({ wrapped }, context) => {
      const data = dataOf(
        await call('decrypt', { ciphertext: wrapped.toString(), ...bound(context) }),
      )
      const dataKey = Buffer.from(
        typeof data.plaintext === 'string' ? data.plaintext : '',
        'base64',
      )
      if (dataKey.length !== DATA_KEY_BYTES) {
        throw new KeyringError('Vault opened a data key that is none')
      }
      return dataKey
    },
  }
}

function bound(context: WrapContext): { associated_data: string; context: string } {
  const bytes = wrapAad(context).toString('base64')
  return { associated_data: bytes, context: bytes }
}

/** A place that no data key has. */
function newContext(): WrapContext {
  return { orgId: '', dataKeyId: `probe-${randomUUID()}` }
}

function isFailure(answer: VaultAnswer): answer is Failure {
  return answer.kind === 'away' || answer.kind === 'denied'
}

function unavailable({ kind, reason }: Failure): AppError {
  const said = `Vault cannot be used: ${reason}`
  const cause = kind === 'denied' ? new KeyDeniedError(said) : new Error(said)
  return new AppError(
    'UNAVAILABLE',
    'The service that keeps the master key cannot be used right now.',
    {
      cause,
    },
  )
}

function notUsable(deps: VaultWrapperDeps, operation: string, reason: string): string {
  return `${deps.setting}: Vault does not ${operation} by the key ${deps.mount}/${deps.key}: ${reason}. See docs/keys.md.`
}
