import type Anthropic from '@anthropic-ai/sdk'
import { listTools, type Patchbay, runTool } from './patchbay.ts'

/** One turn of a chat: the model calls tools until it has its answer. What was said goes on in `messages`. */
export async function answer(
  anthropic: Anthropic,
  model: string,
  patchbay: Patchbay,
  conversationId: string,
  messages: Anthropic.MessageParam[],
): Promise<string> {
  const tools = await listTools<Anthropic.Tool>(patchbay, 'anthropic')
  for (let step = 0; step < 8; step += 1) {
    const request = { model, max_tokens: 4096, messages, tools }
    const { content } = await anthropic.messages.create(request)
    messages.push({ role: 'assistant', content })
    const calls = content.filter((block) => block.type === 'tool_use')
    if (calls.length === 0) {
      return content.map((block) => (block.type === 'text' ? block.text : '')).join('')
    }
    const results = calls.map(async ({ id, name, input: args }) => {
      const { isError, text } = await runTool(patchbay, { id, name, args, conversationId })
      return { type: 'tool_result' as const, tool_use_id: id, content: text, is_error: isError }
    })
    // The results of one answer go back together, in one message.
    messages.push({ role: 'user', content: await Promise.all(results) })
  }
  throw new Error('The model came to no answer.')
}
