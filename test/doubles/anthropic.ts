import { randomBytes } from 'node:crypto'
import type { ServerResponse } from 'node:http'
import { z } from 'zod'
import { openReceiver, type ReceivedRequest } from '../fixtures/receiver.ts'
import { type Asked, Refusal, type Think, type Thought, type ToolResult } from './thinking.ts'
import { anthropicToolProblem } from './tool-rules.ts'

export interface AnthropicDouble extends AsyncDisposable {
  readonly baseUrl: string
  readonly apiKey: string
  /** What it was asked, oldest first. */
  readonly asked: readonly Asked[]
  /** The messages of requests that it refused. */
  readonly refused: readonly string[]
}

/** Like no other, whichever process it comes from. */
function newCallId(): string {
  return `toolu_${randomBytes(12).toString('hex')}`
}

const API_KEY = 'sk-ant-double'
const text = z.object({ type: z.literal('text'), text: z.string().min(1) })
const toolUse = z.object({
  type: z.literal('tool_use'),
  id: z.string().regex(/^[a-zA-Z0-9_-]+$/),
  name: z.string(),
  input: z.record(z.string(), z.unknown()),
})
const toolResult = z.object({
  type: z.literal('tool_result'),
  tool_use_id: z.string(),
  content: z.union([z.string(), z.array(text)]).optional(),
  is_error: z.boolean().optional(),
})
const message = z.object({
  role: z.enum(['user', 'assistant']),
  content: z.union([
    z.string().transform((said) => [{ type: 'text' as const, text: said }]),
    z.array(z.discriminatedUnion('type', [text, toolUse, toolResult])).min(1),
  ]),
})
const request = z.object({
  model: z.string(),
  max_tokens: z.int().positive(),
  messages: z.array(message).min(1),
  tools: z
    .array(
      z.strictObject({
        name: z.string(),
        description: z.string().optional(),
        input_schema: z.unknown(),
      }),
    )
    .optional(),
})
type Message = z.output<typeof message>

/** Anthropic's Messages, as far as tools go: it refuses what the real one refuses, in the same words. */
export async function openAnthropic(think: Think): Promise<AnthropicDouble> {
  const asked: Asked[] = []
  const refused: string[] = []
  const answer = ({ url, headers, body }: ReceivedRequest): object => {
    const isKnown =
      headers['x-api-key'] === API_KEY || headers.authorization === `Bearer ${API_KEY}`
    if (!isKnown) throw new Refusal('invalid x-api-key', { status: 401 })
    if (headers['anthropic-version'] === undefined) {
      throw new Refusal('anthropic-version: header is required')
    }
    if (url !== '/v1/messages') throw new Refusal('Not found', { status: 404 })
    const read = readMessages(JSON.parse(body))
    asked.push(read)
    return toAnswer(think(read))
  }
  const api = await openReceiver((response, received) => {
    try {
      send(response, 200, answer(received))
    } catch (error) {
      const { message: said, status } = toRefusal(error)
      refused.push(said)
      const type = TYPES[status] ?? 'invalid_request_error'
      send(response, status, { type: 'error', error: { type, message: said } })
    }
  })
  return {
    baseUrl: api.url,
    apiKey: API_KEY,
    asked,
    refused,
    [Symbol.asyncDispose]: () => api[Symbol.asyncDispose](),
  }
}

const TYPES: Readonly<Record<number, string>> = {
  401: 'authentication_error',
  404: 'not_found_error',
}

/** @throws Refusal, ZodError */
function readMessages(body: unknown): Asked {
  const { messages, tools = [] } = request.parse(body)
  for (const [at, tool] of tools.entries()) {
    const problem = anthropicToolProblem(at, tool.name, tool.input_schema)
    if (problem !== null) throw new Refusal(problem)
  }
  const results = messages.flatMap((_, at) => resultsAt(messages, at))
  const said = messages.flatMap(({ role, content }) =>
    role === 'user' ? content.flatMap((block) => (block.type === 'text' ? [block.text] : [])) : [],
  )
  return { tools: tools.map(({ name }) => name), said: said.at(-1) ?? '', results }
}

/** The results in one message: those of the calls in the one before, all of them. */
function resultsAt(messages: readonly Message[], at: number): ToolResult[] {
  const called = (messages[at - 1]?.content ?? []).flatMap((block) =>
    block.type === 'tool_use' ? [block.id] : [],
  )
  const results = (messages[at]?.content ?? []).flatMap((block, place) => {
    if (block.type !== 'tool_result') return []
    if (called.includes(block.tool_use_id)) return [block]
    throw new Refusal(
      `messages.${at}.content.${place}: unexpected \`tool_use_id\` found in \`tool_result\` blocks: ${block.tool_use_id}. Each \`tool_result\` block must have a corresponding \`tool_use\` block in the previous message.`,
    )
  })
  const lost = called.filter((id) => !results.some((block) => block.tool_use_id === id))
  if (lost.length > 0) throw lostCalls(at - 1, lost)
  const own = (messages[at]?.content ?? []).flatMap((block) =>
    block.type === 'tool_use' ? [block.id] : [],
  )
  if (at === messages.length - 1 && own.length > 0) throw lostCalls(at, own)
  return results.map(({ tool_use_id: callId, content = '', is_error: isError }) => ({
    callId,
    text: typeof content === 'string' ? content : content.map((block) => block.text).join(''),
    isError,
  }))
}

function lostCalls(at: number, ids: readonly string[]): Refusal {
  return new Refusal(
    `messages.${at}: \`tool_use\` ids were found without \`tool_result\` blocks immediately after: ${ids.join(', ')}. Each \`tool_use\` block must have a corresponding \`tool_result\` block in the next message.`,
  )
}

function toAnswer(thought: Thought): object {
  const isDone = 'text' in thought
  return {
    id: 'msg_double',
    type: 'message',
    role: 'assistant',
    model: 'double',
    content: isDone
      ? [{ type: 'text', text: thought.text }]
      : thought.calls.map(({ name, args: input }) => ({
          type: 'tool_use',
          id: newCallId(),
          name,
          // Its arguments are never text: what is none of JSON does not get this far.
          input: typeof input === 'string' ? {} : input,
        })),
    stop_reason: isDone ? 'end_turn' : 'tool_use',
    stop_sequence: null,
    usage: { input_tokens: 1, output_tokens: 1 },
  }
}

function toRefusal(error: unknown): Refusal {
  if (error instanceof Refusal) return error
  if (!(error instanceof z.ZodError)) throw error
  const [issue] = error.issues
  return new Refusal(`${issue?.path.join('.')}: ${issue?.message}`)
}

function send(response: ServerResponse, status: number, body: object): void {
  response.writeHead(status, { 'content-type': 'application/json', 'request-id': 'req_double' })
  response.end(JSON.stringify(body))
}
