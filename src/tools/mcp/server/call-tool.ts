import {
  type CallToolResult,
  CLIENT_CAPABILITIES_META_KEY,
  type InputRequiredResult,
  inputRequired,
  inputResponse,
  ProtocolError,
  ProtocolErrorCode,
  type ServerContext,
} from '@modelcontextprotocol/server'
import { z } from 'zod'
import type { Actor } from '../../../core/actor.ts'
import { AppError, type ErrorDetail } from '../../../core/error.ts'
import type { JsonSchema } from '../../args.ts'
import type { May } from '../../builtins.ts'
import type { RunnableTool } from '../../catalog.ts'
import { type ApprovalStateDeps, makeApprovalState } from './approval-state.ts'
import { promisedSchema } from './listed-tool.ts'
import {
  type ToldRun,
  toCallResult,
  toMistakeResult,
  toQuestion,
  toWaitingResult,
  type WaitingCall,
} from './served-result.ts'

/** The person's answer stands under this name. */
const APPROVAL = 'approval'
const MAX_QUESTION_LENGTH = 4000

/** Who sent a request, and may use the org's tools. */
export interface McpCaller {
  readonly orgId: string
  readonly by: Actor
  /** Of the request; null: it had none. [W3C Trace Context] */
  readonly traceparent: string | null
  /**
   * It is a Patchbay that has this one for a server. Tools that are themselves another server's are not there for it: one that
   * reads itself, or two that read each other, would have more of them each time.
   */
  readonly isPatchbay: boolean
  /** What else they may. */
  readonly may: (permission: 'org:chat' | 'org:tools:manage') => Promise<boolean>
}

interface McpInvocation extends Call {
  readonly orgId: string
  readonly userId: string
  readonly conversationId: null
  readonly source: 'mcp'
  readonly signal: AbortSignal
  /** Of the request; null: it had none. */
  readonly traceparent: string | null
}

export interface CallToolDeps extends ApprovalStateDeps {
  readonly find: (orgId: string, name: string) => Promise<RunnableTool | null>
  /**
   * Runs a tool that is there for the caller, or has the call wait for a person; asked again, the same call of the same caller is the same, and gives what
   * came of it. What the caller did wrong is thrown.
   */
  readonly ask: (
    invocation: McpInvocation,
    by: Actor,
    may: May,
  ) => Promise<
    | { readonly kind: 'ran'; readonly run: ToldRun }
    | { readonly kind: 'waits'; readonly waiting: WaitingCall }
  >
  /**
   * Decides about a call that waits, and runs it where it may run: who asks again is told what came of it. Throws AppError
   * `CONFLICT` where it was decided before, or it is too late.
   */
  readonly decide: (
    orgId: string,
    approvalId: string,
    decision: 'approve' | 'deny',
    by: Actor,
  ) => Promise<unknown>
  readonly validate: (schema: JsonSchema, value: unknown, orgId: string) => ErrorDetail[]
  readonly shorten: (text: string) => string
  /** What somebody may be told of whatever was thrown. */
  readonly toAppError: (error: unknown) => AppError
  /** Of a bug of ours. */
  readonly report: (error: unknown, requestId: string | null) => void
}

interface Call {
  readonly name: string
  readonly args: unknown
}

type Answer = CallToolResult | InputRequiredResult

/** What the person at the client said of a call, where they were asked. */
type Said = 'nothing' | 'not now' | 'yes or no'

/**
 * `tools/call`: what the tool, its endpoint or the arguments came to is a result that a model can go on with; a tool that
 * there is not, and a state that is not the caller's, are errors of the protocol; anything else is a bug, and thrown.
 *
 * A call that has to be approved is put to the person at the client, where the client can ask and they may decide. The others
 * are told what they wait for. [MCP 2026-07-28 §Tools, §MRTR]
 */
export function makeCallTool(deps: CallToolDeps) {
  const states = makeApprovalState(deps)
  const { toAppError } = deps

  async function answer(caller: McpCaller, call: Call, context: ServerContext): Promise<Answer> {
    const { orgId, by } = caller
    const tool = await deps.find(orgId, call.name)
    if (caller.isPatchbay && tool?.kind === 'external' && tool.httpConfig === null) {
      throw new AppError('NOT_FOUND', `No such tool: ${call.name.slice(0, 128)}.`)
    }
    const promised = tool?.kind === 'external' ? promisedSchema(tool) : null
    const said = await hear(caller, call, context)
    const asked = await deps.ask(
      {
        ...call,
        orgId,
        userId: by.principalId,
        conversationId: null,
        source: 'mcp',
        signal: context.mcpReq.signal,
        traceparent: caller.traceparent,
      },
      by,
      caller.may,
    )
    if (asked.kind === 'ran') {
      const { run } = asked
      const misfits = misfitsOf(caller)
      return toCallResult(run, { promised, misfits, shorten: deps.shorten })
    }
    const mayAsk = said === 'nothing' && takesForms(context)
    const message = mayAsk ? toQuestion(asked.waiting, MAX_QUESTION_LENGTH) : null
    return message !== null && (await caller.may('org:tools:manage'))
      ? question(caller, call, asked.waiting, message)
      : toWaitingResult(asked.waiting, orgId)
  }

  /** Does what the person at the client has said, if somebody was asked; the call is then asked for once more. */
  async function hear(caller: McpCaller, call: Call, context: ServerContext): Promise<Said> {
    const text = context.mcpReq.requestState<string>()
    if (text === undefined) return 'nothing'
    const { orgId, by } = caller
    const waiting = await states.read({ orgId, principalId: by.principalId }, call, text)
    if (waiting === null) throw badState()
    const answer = inputResponse(context.mcpReq.inputResponses, APPROVAL)
    if (answer.kind !== 'elicit') return 'nothing'
    if (answer.action === 'cancel') return 'not now'
    const isApproved = answer.action === 'accept' ? answer.content?.approve : false
    if (typeof isApproved !== 'boolean') return 'nothing'
    if (!(await caller.may('org:tools:manage'))) return 'not now'
    try {
      await deps.decide(orgId, waiting.approvalId, isApproved ? 'approve' : 'deny', by)
    } catch (error) {
      // Somebody else was faster: what they decided is what counts.
      if (!(error instanceof AppError && error.code === 'CONFLICT')) throw error
    }
    return 'yes or no'
  }

  async function question(
    caller: McpCaller,
    call: Call,
    waiting: WaitingCall,
    message: string,
  ): Promise<Answer> {
    const { orgId, by } = caller
    const holder = { orgId, principalId: by.principalId }
    return inputRequired({
      requestState: await states.write(holder, call, waiting),
      inputRequests: {
        [APPROVAL]: inputRequired.elicit({
          mode: 'form',
          message,
          requestedSchema: {
            type: 'object',
            properties: { approve: { type: 'boolean', title: 'Run it' } },
            required: ['approve'],
          },
        }),
      },
    })
  }

  /** A result that cannot be checked is one that does not fit: what ran must be told in any case. */
  function misfitsOf({ orgId, by }: McpCaller) {
    return (schema: JsonSchema, result: unknown): ErrorDetail[] => {
      try {
        return deps.validate(schema, result, orgId)
      } catch (error) {
        if (!(error instanceof AppError)) deps.report(error, by.requestId)
        return [{ path: 'args', message: 'could not be checked' }]
      }
    }
  }

  return async (caller: McpCaller, call: Call, context: ServerContext): Promise<Answer> => {
    try {
      return await answer(caller, call, context)
    } catch (error) {
      if (error instanceof ProtocolError) throw error
      const known = toAppError(error)
      if (known.code === 'INTERNAL') throw error
      if (known.code !== 'NOT_FOUND') return toMistakeResult(known)
      throw new ProtocolError(ProtocolErrorCode.InvalidParams, known.message)
    }
  }
}

/** Also without a word on why: the state is whatever somebody sent. */
function badState(): ProtocolError {
  const data = { reason: 'invalid_request_state' }
  return new ProtocolError(
    ProtocolErrorCode.InvalidParams,
    'Invalid or expired requestState. Make the call anew, without it.',
    data,
  )
}

const forms = z.object({
  [CLIENT_CAPABILITIES_META_KEY]: z.object({
    elicitation: z.object({ form: z.unknown(), url: z.unknown() }).partial(),
  }),
})

/** Whether the client can put a form before a person; one that names no mode can. Clients of 2025 send no such envelope. */
function takesForms(context: ServerContext): boolean {
  const { success, data } = forms.safeParse(context.mcpReq.envelope)
  if (!success) return false
  const { elicitation } = data[CLIENT_CAPABILITIES_META_KEY]
  return elicitation.form !== undefined || elicitation.url === undefined
}
