import type { DataKeyDeps, WrappedSample } from './data-key.ts'
import type { KeyWrapper } from './key-wrapper.ts'
import { KeyringError } from './keyring-error.ts'

/**
 * Opens a data key of each master key that the database names, the installation's own where there is one: a key that some orgs
 * are sealed with and that is not at hand is found now, not when they are served.
 *
 * @throws KeyringError naming the ids of both keys, and what to do
 */
export async function assertOpens({ wrapper, store }: Omit<DataKeyDeps, 'newId'>): Promise<void> {
  const samples = await store.samples()
  for (const sample of samples) {
    if (!(await wrapper.has(sample.masterKeyId))) {
      throw new KeyringError(await notTheKey(wrapper, sample, samples))
    }
  }
  for (const row of samples) {
    const opened = await wrapper
      .unwrap(row, { orgId: row.orgId, dataKeyId: row.id })
      .catch((error: unknown) => {
        if (!(error instanceof KeyringError)) throw error
        throw new KeyringError(
          `${wrapper.setting} has the id that the database names (${row.masterKeyId}), but does not open its data key ${row.id}: ${error.message}`,
          { cause: error },
        )
      })
    opened.fill(0)
  }
}

async function notTheKey(
  wrapper: KeyWrapper,
  missing: WrappedSample,
  samples: readonly WrappedSample[],
): Promise<string> {
  const currentId = await wrapper.currentId()
  const total = samples.reduce((sum, sample) => sum + sample.count, 0)
  return [
    `${wrapper.setting} is not the key this database was sealed with: its id is ${currentId}, but ${missing.count} of ${total} data keys are wrapped by ${missing.masterKeyId}.`,
    `If ${currentId} is an old key that was rotated away, use the one with the id ${missing.masterKeyId} instead.`,
    `If ${currentId} is the new key, put the one with the id ${missing.masterKeyId} into MASTER_KEY_PREVIOUS, start again, and run: npm run keys:rotate`,
  ].join('\n')
}
