import { setTimeout as sleep } from 'node:timers/promises'
import { type Patchbay, runTool, type ToolCall } from './patchbay.ts'

/**
 * What came of a call that waits: asked for again with the same arguments, it is the same call, and when a person has decided
 * it, its result is the answer. null: nobody has in time.
 */
export async function awaitApproved(patchbay: Patchbay, call: ToolCall, everyMs = 5000) {
  for (let tries = 1; ; tries += 1) {
    // A new key each time: the old one would give the old answer again.
    const { approval, ...answer } = await runTool(patchbay, { ...call, id: `${call.id}.${tries}` })
    if (approval === undefined) return answer
    if (Date.now() + everyMs > Date.parse(approval.expiresAt)) return null
    await sleep(everyMs)
  }
}
