import { type ApprovalEvent, utcText } from '../approval-event.ts'
import { block, type Draft, monospace, subtle } from './draft.ts'
import { literal, printable } from './markdown.ts'

/** A tool call that waits for a person, and how they decide it; or, in a line, what was decided. */
export function approvalDraft(approval: ApprovalEvent, orgId: string): Draft {
  const { tool, userId } = approval
  const call = `${printable(tool)}, asked for by ${printable(userId)}`
  if (approval.kind === 'decided') {
    const by = approval.decidedBy === null ? '' : ` by ${printable(approval.decidedBy)}`
    const said: Readonly<Record<typeof approval.state, string>> = {
      approved: `Approved${by}: ${call}.`,
      denied: `Denied${by}: ${call}.`,
      expired: `Nobody decided in time: ${call}. It does not run.`,
    }
    return { head: [block(literal(said[approval.state]))], text: '', toBlocks: () => [] }
  }
  const { approvalId, place, argumentsText, expiresAt } = approval
  const how = `An admin decides it by the API: POST /orgs/${orgId}/approvals/${approvalId}`
  return {
    head: [
      block(literal(`Approve a tool call? ${printable(tool)}`), { weight: 'Bolder' }),
      subtle(`Asked for ${place} by ${printable(userId)}. It waits until ${utcText(expiresAt)}.`),
      subtle(how),
      ...(argumentsText === null ? [subtle(KEPT_BACK)] : []),
    ],
    text: printable(argumentsText ?? ''),
    toBlocks: monospace,
  }
}

const KEPT_BACK = 'To see its arguments here, set content to "full" for this webhook.'
