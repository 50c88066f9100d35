import type OpenAI from 'openai'
import { listTools, type Patchbay, runTool } from './patchbay.ts'

/** One turn of a chat: the model calls tools until it has its answer. What was said goes on in `messages`. */
export async function answer(
  openai: OpenAI,
  model: string,
  patchbay: Patchbay,
  conversationId: string,
  messages: OpenAI.ChatCompletionMessageParam[],
): Promise<string> {
  const tools = await listTools<OpenAI.ChatCompletionTool>(patchbay, 'openai')
  for (let step = 0; step < 8; step += 1) {
    const { choices } = await openai.chat.completions.create({ model, messages, tools })
    const message = choices[0]?.message
    if (message === undefined) break
    messages.push(message)
    const calls = (message.tool_calls ?? []).filter((call) => call.type === 'function')
    if (calls.length === 0) return message.content ?? ''
    const results = calls.map(async ({ id, function: { name, arguments: args } }) => {
      const { text } = await runTool(patchbay, { id, name, args, conversationId })
      return { role: 'tool' as const, tool_call_id: id, content: text }
    })
    messages.push(...(await Promise.all(results)))
  }
  throw new Error('The model came to no answer.')
}
