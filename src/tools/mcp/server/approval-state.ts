import { createHash } from 'node:crypto'
import { z } from 'zod'
import { KeyringError } from '../../../security/keyring-error.ts'
import { canonical } from '../../bounded-checks.ts'

/** Who asks, in which org: a state is theirs alone. */
interface Holder {
  readonly orgId: string
  readonly principalId: string
}

/** A call of `tools/call`, as its client sent it. */
interface Call {
  readonly name: string
  readonly args: unknown
}

/** The approval that a call waits for. */
export interface Waiting {
  readonly approvalId: string
  readonly expiresAt: string
}

export interface ApprovalStateDeps {
  /** Seals a text so that only the same holder opens it again, in any process of the installation. */
  readonly seal: (holder: Holder, text: string) => Promise<Buffer>
  /** Throws KeyringError for what was sealed for somebody else, or changed. */
  readonly open: (holder: Holder, sealed: Buffer) => Promise<string>
  readonly nowMs: () => number
}

const state = z.strictObject({
  approvalId: z.uuid(),
  expiresAt: z.iso.datetime({ offset: true }),
  call: z.string(),
})

/**
 * The `requestState` of a call that waits for a person: it goes out to the client and comes back with their answer, so it is
 * sealed for the principal and the org, names the call it belongs to, and ends with the approval. [MCP 2026-07-28 §MRTR]
 */
export function makeApprovalState({ seal, open, nowMs }: ApprovalStateDeps) {
  return {
    async write(holder: Holder, call: Call, waiting: Waiting): Promise<string> {
      const { approvalId, expiresAt } = waiting
      const text = JSON.stringify({ approvalId, expiresAt, call: digestOf(call) })
      return (await seal(holder, text)).toString('base64url')
    },

    /** null where it is not one of this holder's for this call, or it is over. */
    async read(holder: Holder, call: Call, text: string): Promise<Waiting | null> {
      let opened: string
      try {
        opened = await open(holder, Buffer.from(text, 'base64url'))
      } catch (error) {
        if (error instanceof KeyringError) return null
        throw error
      }
      const { approvalId, expiresAt, call: digest } = state.parse(JSON.parse(opened))
      const isOver = Date.parse(expiresAt) <= nowMs()
      return isOver || digest !== digestOf(call) ? null : { approvalId, expiresAt }
    },
  }
}

/** Not by the text of the call: a client may put the members of its arguments in another order each time. */
function digestOf({ name, args }: Call): string {
  return createHash('sha256')
    .update(canonical([name, args]))
    .digest('base64url')
}
