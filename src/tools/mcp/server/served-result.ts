import type { CallToolResult } from '@modelcontextprotocol/server'
import type { AppError, ErrorDetail } from '../../../core/error.ts'
import type { JsonSchema } from '../../args.ts'
import type { Waiting } from './approval-state.ts'

const RUN_ID = 'patchbay/runId'
const APPROVAL_ID = 'patchbay/approvalId'

/** A run that has ended. */
export interface ToldRun {
  readonly id: string
  readonly tool: string
  /** As it stands in `tool_runs`. */
  readonly outcome: string
  readonly result: unknown
  readonly error: string | null
}

/** A call that waits for a person. */
export interface WaitingCall extends Waiting {
  readonly tool: string
  /** As people may see them. */
  readonly arguments: unknown
}

interface Telling {
  /** null: the tool promises nothing of its result. */
  readonly promised: JsonSchema | null
  /** What of a result does not fit. */
  readonly misfits: (schema: JsonSchema, result: unknown) => readonly ErrorDetail[]
  /** For the context of a model. */
  readonly shorten: (text: string) => string
}

/**
 * What a run came to, for a model.
 *
 * A result that is not what the tool's output schema promises is told as an error, with the result in it: a client drops an
 * answer without the structured content that was promised, and the model would see nothing of a call that did happen.
 */
export function toCallResult(run: ToldRun, telling: Telling): CallToolResult {
  const { promised, misfits, shorten } = telling
  const _meta = { [RUN_ID]: run.id }
  if (run.outcome !== 'success') {
    return { ...failure(`${whyNot(run)}\n(run ${run.id})`), _meta }
  }
  const text = shorten(textOf(run.result))
  if (promised === null) return { content: [{ type: 'text', text }], _meta }
  const details = misfits(promised, run.result)
  if (details.length > 0 || !isObject(run.result)) {
    const why = linesOf(details.map(({ path, message }) => ({ path: asResult(path), message })))
    const told = `${run.tool} ran, so do not call it again for this, but its result is not what its output schema says:`
    return { ...failure(`${told}\n${why}\nThe result:\n${text}`), _meta }
  }
  return { content: [{ type: 'text', text }], structuredContent: run.result, _meta }
}

/** A call that has not run: not an error, and nothing that a model should mend. */
export function toWaitingResult(
  { approvalId, expiresAt, tool }: WaitingCall,
  orgId: string,
): CallToolResult {
  const text = [
    `This call of ${tool} has not run: it waits until a person approves it (approval ${approvalId}, until ${expiresAt}).`,
    `Whoever has org:tools:manage in the org decides, with POST /orgs/${orgId}/approvals/${approvalId}.`,
    'Make the same call again, with the same arguments, to get its result once it is decided.',
  ].join('\n')
  return { content: [{ type: 'text', text }], _meta: { [APPROVAL_ID]: approvalId } }
}

/** What is wrong with a call, in words by which a model can make a better one. */
export function toMistakeResult(error: AppError): CallToolResult {
  const wrong = error.details.length > 0 ? linesOf(error.details) : error.message
  const retry = error.retryAfterS === null ? '' : `\nTry again in ${error.retryAfterS} s.`
  return failure(wrong + retry)
}

/** For a person who is asked whether a call may run; null: its arguments are too long to be seen there, which is no way to decide. */
export function toQuestion(
  { tool, arguments: args }: WaitingCall,
  maxLength: number,
): string | null {
  const shown = JSON.stringify(args, null, 2) ?? ''
  return shown.length > maxLength ? null : `Run ${tool} with these arguments?\n${shown}`
}

function whyNot({ tool, outcome, error }: ToldRun): string {
  const lost = 'nobody knows how it ended, it may have happened'
  return `${tool} failed: ${error ?? (outcome === 'unknown' ? lost : outcome)}`
}

function failure(text: string): CallToolResult {
  return { isError: true, content: [{ type: 'text', text }] }
}

function linesOf(details: readonly ErrorDetail[]): string {
  return details.map(({ path, message }) => `${path} ${message}`.trim()).join('\n')
}

/** The checks are those of arguments, and so are the paths they name. */
function asResult(path: string): string {
  return path.replace(/^args/, 'result')
}

function textOf(result: unknown): string {
  if (typeof result === 'string' && result !== '') return result
  const isNothing = result === null || result === undefined || result === ''
  return isNothing ? 'It ran, and gave nothing back.' : JSON.stringify(result)
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
