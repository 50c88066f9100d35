import type { WrappedKey } from './data-key.ts'
import type { KeyWrapper, Wrapped } from './key-wrapper.ts'
import { KeyringError } from './keyring-error.ts'

/** How many data keys a service that keeps the master key is asked for at once. */
const BATCH = 20
const BEFORE_ALL = { orgId: '', id: '00000000-0000-0000-0000-000000000000' }

export interface OrgKey extends WrappedKey {
  readonly orgId: string
}

export interface RewrapDeps {
  readonly wrapper: KeyWrapper
  /** Data keys that this master key does not wrap, the installation's own first. */
  readonly listOutdated: (
    currentId: string,
    after: { readonly orgId: string; readonly id: string },
    limit: number,
  ) => Promise<readonly OrgKey[]>
  /** Changes the row if it still is as it was read. Says whether it did. */
  readonly replace: (row: OrgKey, now: Wrapped) => Promise<boolean>
  readonly count: (
    currentId: string,
  ) => Promise<{ readonly total: number; readonly outdated: number }>
  readonly onProgress: (rewrapped: number, outdated: number) => void
  readonly signal: AbortSignal
}

export interface Rewrapped {
  readonly currentId: string
  readonly rewrapped: number
  readonly total: number
  /** Data keys that are still under another master key. */
  readonly outdated: number
  /** Those of them that did not open, `org/id`. */
  readonly broken: readonly string[]
}

/**
 * Wraps every data key by the current master key, while processes seal and open. It may be killed at any point and started
 * again: each row is changed by itself, and what is done is not found again.
 */
export async function rewrapDataKeys(deps: RewrapDeps): Promise<Rewrapped> {
  const broken = new Set<string>()
  let rewrapped = 0

  const rewrapOne = async (row: OrgKey): Promise<void> => {
    const context = { orgId: row.orgId, dataKeyId: row.id }
    try {
      // Not Vault's own `rewrap`: it takes no associated_data.
      const dataKey = await deps.wrapper.unwrap(row, context)
      const now = await deps.wrapper.wrap(dataKey, context)
      dataKey.fill(0)
      if (await deps.replace(row, now)) rewrapped += 1
    } catch (error) {
      if (!(error instanceof KeyringError)) throw error
      broken.add(`${row.orgId}/${row.id}`)
    }
  }

  for (;;) {
    const currentId = await deps.wrapper.currentId()
    const before = rewrapped
    let rows: readonly OrgKey[] = []
    let after: { readonly orgId: string; readonly id: string } = BEFORE_ALL
    do {
      deps.signal.throwIfAborted()
      rows = await deps.listOutdated(currentId, after, BATCH)
      // Once the installation's own are done, no process adds a data key under another master key.
      for (const row of rows.filter(({ orgId }) => orgId === '')) await rewrapOne(row)
      await Promise.all(rows.filter(({ orgId }) => orgId !== '').map(rewrapOne))
      after = rows.at(-1) ?? after
      deps.onProgress(rewrapped, rows.length)
    } while (rows.length === BATCH)
    const { total, outdated } = await deps.count(currentId)
    // What came in meanwhile is in the next round; a round that moved nothing is the last.
    if (outdated === 0 || rewrapped === before) {
      return { currentId, rewrapped, total, outdated, broken: [...broken] }
    }
  }
}
