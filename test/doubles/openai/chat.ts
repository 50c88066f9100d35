import { z } from 'zod'
import { type Asked, Refusal, type Thought, type ToolResult, toArgumentsText } from '../thinking.ts'
import { openAiToolProblem } from '../tool-rules.ts'

const call = z.object({
  id: z.string(),
  type: z.literal('function'),
  function: z.object({ name: z.string(), arguments: z.string() }),
})
const text = z.union([
  z.string(),
  z.array(z.object({ type: z.literal('text'), text: z.string() })).min(1),
])
const message = z.discriminatedUnion('role', [
  z.object({ role: z.literal('system'), content: text }),
  z.object({ role: z.literal('developer'), content: text }),
  z.object({ role: z.literal('user'), content: text }),
  z.object({
    role: z.literal('assistant'),
    content: text.nullish(),
    tool_calls: z.array(call).min(1).optional(),
  }),
  z.object({ role: z.literal('tool'), tool_call_id: z.string(), content: text }),
])
const request = z.object({
  model: z.string(),
  messages: z.array(message).min(1),
  tools: z
    .array(
      z.object({
        type: z.literal('function'),
        function: z.strictObject({
          name: z.string(),
          description: z.string().optional(),
          parameters: z.unknown(),
          strict: z.boolean().nullish(),
        }),
      }),
    )
    .min(1)
    .max(128)
    .optional(),
})
type Message = z.output<typeof message>

/** @throws Refusal, ZodError */
export function readChat(body: unknown): Asked {
  const { messages, tools = [] } = request.parse(body)
  for (const [at, { function: tool }] of tools.entries()) {
    const problem = openAiToolProblem(`tools[${at}].function`, tool.name, tool.parameters)
    if (problem !== null) throw new Refusal(problem, { param: `tools[${at}].function` })
  }
  const users = messages.filter(({ role }) => role === 'user')
  return {
    tools: tools.map(({ function: tool }) => tool.name),
    said: toText(users.at(-1)?.content),
    results: resultsOf(messages),
  }
}

/** Each call is answered by the messages right after it, and nothing else is. */
function resultsOf(messages: readonly Message[]): ToolResult[] {
  const results: ToolResult[] = []
  let open: string[] = []
  const assertAnswered = () => {
    if (open.length === 0) return
    throw new Refusal(
      `An assistant message with 'tool_calls' must be followed by tool messages responding to each 'tool_call_id'. The following tool_call_ids did not have response messages: ${open.join(', ')}`,
      { param: 'messages' },
    )
  }
  for (const each of messages) {
    if (each.role === 'tool') {
      if (!open.includes(each.tool_call_id)) {
        throw new Refusal(
          `Invalid parameter: messages with role 'tool' must be a response to a preceeding message with 'tool_calls'.`,
          { param: 'messages' },
        )
      }
      open = open.filter((id) => id !== each.tool_call_id)
      results.push({ callId: each.tool_call_id, text: toText(each.content) })
      continue
    }
    assertAnswered()
    if (each.role === 'assistant') open = (each.tool_calls ?? []).map(({ id }) => id)
  }
  assertAnswered()
  return results
}

export function chatAnswer(thought: Thought, newId: () => string): object {
  const said = 'text' in thought ? thought.text : null
  const calls =
    'text' in thought
      ? undefined
      : thought.calls.map(({ name, args }) => ({
          id: newId(),
          type: 'function',
          function: { name, arguments: toArgumentsText(args) },
        }))
  return {
    id: 'chatcmpl-double',
    object: 'chat.completion',
    created: 1,
    model: 'double',
    choices: [
      {
        index: 0,
        message: {
          role: 'assistant',
          content: said,
          refusal: null,
          ...(calls === undefined ? {} : { tool_calls: calls }),
        },
        logprobs: null,
        finish_reason: calls === undefined ? 'stop' : 'tool_calls',
      },
    ],
    usage: { prompt_tokens: 1, completion_tokens: 1, total_tokens: 2 },
  }
}

function toText(content: z.output<typeof text> | null | undefined): string {
  if (typeof content === 'string') return content
  return (content ?? []).map((part) => part.text).join('')
}
