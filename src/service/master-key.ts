import { join } from 'node:path'
import type { Config, PreviousMasterKey } from '../config.ts'
import { type KeyWrapper, withPrevious } from '../security/key-wrapper.ts'
import { makeLocalWrapper } from '../security/local-wrapper.ts'
import { type MasterKeyFile, makeMasterKeyFile } from '../security/master-key-file.ts'
import { makeCallVault } from '../security/vault.ts'
import { makeVaultWrapper } from '../security/vault-wrapper.ts'

/** A claim waits so long for a lane whose key is not at hand, once an outage. */
const VAULT_TIMEOUT_MS = 3000

interface WrapperDeps {
  /** For URLs that the operator configured. */
  readonly fetch: typeof fetch
  /** Vault cannot be used from now on, and why; null: it can again. */
  readonly onChange: (reason: string | null) => void
}

/** The key that an embedded installation makes for itself; null where the settings say who keeps it. */
export function embeddedKeyFile(config: Config): MasterKeyFile | null {
  const isConfigured = config.MASTER_KEY !== undefined || config.KMS_VAULT_KEY !== undefined
  return isConfigured ? null : makeMasterKeyFile(join(config.PATCHBAY_DIR, 'master-key'))
}

/** Who wraps data keys by these settings, and who else may still open them. */
export function makeKeyWrapper(config: Config, deps: WrapperDeps): KeyWrapper {
  const previous = config.MASTER_KEY_PREVIOUS.map((key) => previousWrapper(config, deps, key))
  return withPrevious(currentWrapper(config, deps), previous)
}

function currentWrapper(config: Config, deps: WrapperDeps): KeyWrapper {
  if (config.KMS_VAULT_KEY !== undefined) {
    const { KMS_VAULT_KEY: key, KMS_VAULT_MOUNT: mount } = config
    return vaultWrapper(config, deps, 'KMS_VAULT_KEY', { mount, key })
  }
  const { MASTER_KEY: key } = config
  const file = embeddedKeyFile(config)
  if (file !== null) return makeLocalWrapper('MASTER_KEY', file.read)
  return makeLocalWrapper('MASTER_KEY', () => (key === undefined ? [] : [key]))
}

function previousWrapper(
  config: Config,
  deps: WrapperDeps,
  previous: PreviousMasterKey,
): KeyWrapper {
  const setting = 'MASTER_KEY_PREVIOUS'
  return previous.kind === 'local'
    ? makeLocalWrapper(setting, () => [previous.key])
    : vaultWrapper(config, deps, setting, previous)
}

function vaultWrapper(
  config: Config,
  deps: WrapperDeps,
  setting: string,
  { mount, key }: { readonly mount: string; readonly key: string },
): KeyWrapper {
  const { KMS_VAULT_URL: url, KMS_VAULT_TOKEN: token } = config
  // The settings are refused where it is missing.
  if (url === undefined) throw new Error('KMS_VAULT_URL is missing')
  const call = makeCallVault({
    url,
    mount,
    key,
    token,
    fetch: deps.fetch,
    timeoutMs: VAULT_TIMEOUT_MS,
  })
  const nowMs = () => performance.now()
  return makeVaultWrapper({ call, setting, mount, key, onChange: deps.onChange, nowMs })
}
