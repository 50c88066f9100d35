import { type ApprovalEvent, utcText } from '../approval-event.ts'
import {
  type Block,
  context,
  fallback,
  inCode,
  MAX_SECTION,
  missingMark,
  plainText,
  type SlackMessage,
  section,
  type TextBlock,
} from './block-kit.ts'
import { escapeText, fitText } from './text.ts'

type Requested = Extract<ApprovalEvent, { kind: 'requested' }>
type Decided = Extract<ApprovalEvent, { kind: 'decided' }>

export type SlackDecision = 'approve' | 'deny'

const ACTIONS: Readonly<Record<SlackDecision, string>> = {
  approve: 'patchbay.approve',
  deny: 'patchbay.deny',
}
const BLOCK_ID = 'patchbay.approval'
/** Without the marks of the code around it. */
const MAX_CODE = MAX_SECTION - 100
/** With everything else of the message they stay within what Slack takes of all blocks together. */
const MAX_CODE_SECTIONS = 3

/** What a click on a button of ours decides; null: that button is none of these. */
export function decisionOf(actionId: string): SlackDecision | null {
  if (actionId === ACTIONS.approve) return 'approve'
  return actionId === ACTIONS.deny ? 'deny' : null
}

/** A tool call that waits for a person, with buttons; or, in a line, what was decided. */
export function approvalMessage(approval: ApprovalEvent): SlackMessage {
  return approval.kind === 'requested' ? requestMessage(approval) : decisionMessage(approval)
}

/** Nobody approves here what they do not see: with arguments that are cut or kept back, one can only deny. */
function requestMessage(request: Requested): SlackMessage {
  const { tool, userId, place, argumentsText, expiresAt } = request
  const shown = argumentsText === null ? null : codeOf(argumentsText)
  const isWhole = request.isWhole && shown?.isWhole === true
  return {
    text: fallback(`${userId} asks to run ${tool}. Approve or deny it.`),
    blocks: [
      section(`*Approve a tool call?* ${name(tool)}`),
      context(`Asked for ${place} by ${name(userId)}. It waits until ${dateText(expiresAt)}.`),
      ...(shown === null ? [context(KEPT_BACK)] : shown.blocks),
      ...(shown !== null && !isWhole ? [context(CUT)] : []),
      buttons(request, isWhole ? ['approve', 'deny'] : ['deny']),
    ],
  }
}

const KEPT_BACK =
  'To see its arguments here, and approve it, set content: "full" on this webhook. Or decide it by the API.'
const CUT = 'It can be approved where all of it is seen: by the API.'

/** In as many blocks as it takes, up to a limit. */
function codeOf(text: string): { readonly blocks: TextBlock[]; readonly isWhole: boolean } {
  const blocks: TextBlock[] = []
  let rest = text
  while (rest !== '' && blocks.length < MAX_CODE_SECTIONS) {
    const part = fitText(rest, MAX_CODE, inCode)
    blocks.push(section(`\`\`\`\n${part.text}\n\`\`\``))
    const points = [...rest]
    rest = points.slice(points.length - part.missing).join('')
  }
  blocks.push(...missingMark('This call', [...rest].length))
  return { blocks, isWhole: rest === '' }
}

function buttons({ approvalId }: Requested, offered: readonly SlackDecision[]): Block {
  const approve = {
    type: 'button',
    action_id: ACTIONS.approve,
    text: plainText('Approve'),
    value: approvalId,
    style: 'primary',
    confirm: {
      title: plainText('Approve this call?'),
      text: plainText('It runs once, with the arguments that are shown.'),
      confirm: plainText('Approve'),
      deny: plainText('Not now'),
      style: 'primary',
    },
  } as const
  const deny = {
    type: 'button',
    action_id: ACTIONS.deny,
    text: plainText('Deny'),
    value: approvalId,
    style: 'danger',
  } as const
  const all = { approve, deny }
  return { type: 'actions', block_id: BLOCK_ID, elements: offered.map((one) => all[one]) }
}

function decisionMessage({ tool, userId, state, decidedBy }: Decided): SlackMessage {
  const by = decidedBy === null ? '' : ` by ${name(decidedBy)}`
  const whose = `${name(tool)}, asked for by ${name(userId)}`
  const said: Readonly<Record<Decided['state'], string>> = {
    approved: `Approved${by}: ${whose}.`,
    denied: `Denied${by}: ${whose}.`,
    expired: `Nobody decided in time: ${whose}. It does not run.`,
  }
  const words: Readonly<Record<Decided['state'], string>> = {
    approved: `${tool} was approved.`,
    denied: `${tool} was denied.`,
    expired: `${tool} does not run: nobody decided in time.`,
  }
  return { text: fallback(words[state]), blocks: [section(said[state])] }
}

/** As it was written, whatever Slack would make of its signs. */
function name(text: string): string {
  return `\`${escapeText(text.replaceAll('`', "'"))}\``
}

/** In the reader's own time zone. */
function dateText(time: Date): string {
  const seconds = Math.floor(time.getTime() / 1000)
  return `<!date^${seconds}^{date_short_pretty} at {time}|${utcText(time)}>`
}

export interface SlackVerdict {
  readonly tool: string
  readonly decision: SlackDecision
  /** Whose signed click it was: the only one whom a message of ours calls. */
  readonly userId: string
  readonly at: Date
}

/**
 * What takes the place of a request that was decided by a click on it: the same without its buttons, and who decided.
 *
 * @param blocks of the message, as Slack sent them along; null: it did not
 */
export function renderVerdict(
  blocks: readonly Readonly<Record<string, unknown>>[] | null,
  { tool, decision, userId, at }: SlackVerdict,
): string {
  const word = decision === 'approve' ? 'Approved' : 'Denied'
  const line = `${word} by <@${userId}>, ${dateText(at)}`
  const kept = (blocks ?? []).filter(({ type }) => type !== 'actions')
  return JSON.stringify({
    replace_original: true,
    text: fallback(`${tool} was ${word.toLowerCase()}.`),
    blocks: kept.length === 0 ? [section(`${name(tool)}: ${line}`)] : [...kept, context(line)],
  })
}

/**
 * For the eyes of whoever clicked; the message with the buttons stays as it is.
 *
 * @param thread in which the buttons stand; null: in none
 */
export function renderRefusal(text: string, thread: string | null): string {
  return JSON.stringify({
    response_type: 'ephemeral',
    replace_original: false,
    ...(thread === null ? {} : { thread_ts: thread }),
    text: fallback(text),
  })
}
