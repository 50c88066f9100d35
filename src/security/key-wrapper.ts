import { KeyringError } from './keyring-error.ts'

/** Whose data key it is. Bound into the wrap: put in another's place, it does not open. */
export interface WrapContext {
  readonly orgId: string
  readonly dataKeyId: string
}

/** A data key under a master key. */
export interface Wrapped {
  readonly wrapped: Buffer
  /** Which master key, and which version of it. Says nothing of the key itself. */
  readonly masterKeyId: string
}

/**
 * Keeps the master key, or knows who does: the one thing that opens data keys.
 *
 * Every function throws KeyringError for what will stay so, and AppError `UNAVAILABLE` for what passes.
 */
export interface KeyWrapper {
  /** The setting that names its key, for messages. */
  readonly setting: string
  /** Tries its current key before anything depends on it; and the one that has the id `by`, which will wrap as well. */
  readonly prove: (by?: string) => Promise<void>
  /** The id that `wrap` gives now, where it is told none. */
  readonly currentId: () => Promise<string>
  /** Whether it is the one to ask for this master key; whether that opens anything, `unwrap` says. */
  readonly has: (masterKeyId: string) => Promise<boolean>
  /** By its current key; or by the one that has the id `by`, in the latest version of it. */
  readonly wrap: (dataKey: Buffer, context: WrapContext, by?: string) => Promise<Wrapped>
  readonly unwrap: (wrapped: Wrapped, context: WrapContext) => Promise<Buffer>
}

/** Wraps by the first where it is not told by which; opens by whichever has the key. */
export function withPrevious(current: KeyWrapper, previous: readonly KeyWrapper[]): KeyWrapper {
  const find = async (masterKeyId: string): Promise<KeyWrapper | null> => {
    for (const wrapper of [current, ...previous]) {
      if (await wrapper.has(masterKeyId)) return wrapper
    }
    return null
  }
  const holderOf = async (masterKeyId: string): Promise<KeyWrapper> => {
    const wrapper = await find(masterKeyId)
    if (wrapper === null) throw unknownMasterKey(masterKeyId)
    return wrapper
  }
  return {
    ...current,
    prove: async (by) => {
      await current.prove()
      const other = by === undefined ? null : await find(by)
      if (other !== current) await other?.prove()
    },
    has: async (masterKeyId) => (await find(masterKeyId)) !== null,
    wrap: async (dataKey, context, by) => {
      const wrapper = by === undefined ? current : await holderOf(by)
      return wrapper.wrap(dataKey, context, by)
    },
    unwrap: async (wrapped, context) =>
      (await holderOf(wrapped.masterKeyId)).unwrap(wrapped, context),
  }
}

export function unknownMasterKey(masterKeyId: string): KeyringError {
  return new KeyringError(
    `a data key is wrapped by the master key ${masterKeyId}, which is not here`,
  )
}

/** The bytes that a wrap is bound to. Part of the stored format. */
export function wrapAad({ orgId, dataKeyId }: WrapContext): Buffer {
  return Buffer.from(JSON.stringify([1, 'data_keys', orgId, dataKeyId]))
}
