import { z } from 'zod'
import { type Asked, Refusal, type Thought, toArgumentsText } from '../thinking.ts'
import { openAiToolProblem } from '../tool-rules.ts'

const content = z.union([z.string(), z.array(z.object({ type: z.string(), text: z.string() }))])
const item = z.union([
  z.object({
    type: z.literal('message').optional(),
    role: z.enum(['user', 'assistant', 'system', 'developer']),
    content,
  }),
  z.object({
    type: z.literal('function_call'),
    call_id: z.string(),
    name: z.string(),
    arguments: z.string(),
  }),
  z.object({ type: z.literal('function_call_output'), call_id: z.string(), output: z.string() }),
])
const request = z.object({
  model: z.string(),
  input: z.union([
    z.string().transform((said) => [{ role: 'user' as const, content: said }]),
    z.array(item).min(1),
  ]),
  tools: z
    .array(
      z.strictObject({
        type: z.literal('function'),
        name: z.string(),
        description: z.string().nullish(),
        parameters: z.unknown(),
        strict: z.boolean().nullable(),
      }),
    )
    .optional(),
})

/** @throws Refusal, ZodError */
export function readResponses(body: unknown): Asked {
  const { input, tools = [] } = request.parse(body)
  for (const [at, tool] of tools.entries()) {
    const problem = openAiToolProblem(`tools[${at}]`, tool.name, tool.parameters)
    if (problem !== null) throw new Refusal(problem, { param: `tools[${at}]` })
  }
  const called = input.flatMap((each) => ('arguments' in each ? [each.call_id] : []))
  const results = input.flatMap((each) =>
    'output' in each ? [{ callId: each.call_id, text: each.output }] : [],
  )
  const lost = called.find((id) => !results.some(({ callId }) => callId === id))
  if (lost !== undefined) {
    throw new Refusal(`No tool output found for function call ${lost}.`, { param: 'input' })
  }
  const stray = results.find(({ callId }) => !called.includes(callId))
  if (stray !== undefined) {
    throw new Refusal(`No tool call found for function call output with call_id ${stray.callId}.`, {
      param: 'input',
    })
  }
  const said = input.flatMap((each) =>
    'role' in each && each.role === 'user' ? [each.content] : [],
  )
  return { tools: tools.map(({ name }) => name), said: toText(said.at(-1)), results }
}

export function responsesAnswer(thought: Thought, newId: () => string): object {
  const output =
    'text' in thought
      ? [
          {
            id: 'msg_double',
            type: 'message',
            role: 'assistant',
            status: 'completed',
            content: [{ type: 'output_text', text: thought.text, annotations: [] }],
          },
        ]
      : thought.calls.map(({ name, args }) => {
          const id = newId()
          const text = toArgumentsText(args)
          return {
            id: `fc_${id}`,
            type: 'function_call',
            status: 'completed',
            call_id: id,
            name,
            arguments: text,
          }
        })
  return {
    id: 'resp_double',
    object: 'response',
    created_at: 1,
    model: 'double',
    status: 'completed',
    error: null,
    incomplete_details: null,
    output,
  }
}

function toText(said: z.output<typeof content> | undefined): string {
  if (typeof said === 'string') return said
  return (said ?? []).map(({ text }) => text).join('')
}
