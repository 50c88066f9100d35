import { AppError } from '../core/error.ts'
import type { DataKeyDeps, WrappedSample } from './data-key.ts'
import type { KeyWrapper } from './key-wrapper.ts'
import { KeyDeniedError, KeyringError } from './keyring-error.ts'

/**
 * Opens a data key of each master key that the database names, the installation's own where there is one: a key that some orgs
 * are sealed with and that is not at hand is found now, not when they are served.
 *
 * @throws KeyringError naming the ids of both keys, or the one that may not be used, and what to do
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
        throw whyNot(wrapper, row, error)
      })
    opened.fill(0)
  }
}

function whyNot(wrapper: KeyWrapper, row: WrappedSample, error: unknown): unknown {
  if (error instanceof AppError && error.cause instanceof KeyDeniedError) {
    return new KeyringError(
      `${row.masterKeyId} wraps data keys of this database and may not be used. ${error.cause.message}. See docs/keys.md.`,
      { cause: error },
    )
  }
  if (!(error instanceof KeyringError)) return error
  return new KeyringError(
    `${wrapper.setting} has the id that the database names (${row.masterKeyId}), but does not open its data key ${row.id}: ${error.message}`,
    { cause: error },
  )
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
