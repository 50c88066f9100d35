import type OpenAI from 'openai'
import { listTools, type Patchbay, runTool } from './patchbay.ts'

/** One turn of a chat: the model calls tools until it has its answer. What was said goes on in `input`. */
export async function answer(
  openai: OpenAI,
  model: string,
  patchbay: Patchbay,
  conversationId: string,
  input: OpenAI.Responses.ResponseInputItem[],
): Promise<string> {
  const tools = await listTools<OpenAI.Responses.FunctionTool>(patchbay, 'openai-responses')
  for (let step = 0; step < 8; step += 1) {
    const response = await openai.responses.create({ model, input, tools })
    const said = response.output.filter(
      (item) =>
        item.type === 'message' || item.type === 'reasoning' || item.type === 'function_call',
    )
    input.push(...said)
    const calls = said.filter((item) => item.type === 'function_call')
    if (calls.length === 0) return response.output_text
    const results = calls.map(async ({ call_id, name, arguments: args }) => {
      const { text } = await runTool(patchbay, { id: call_id, name, args, conversationId })
      return { type: 'function_call_output' as const, call_id, output: text }
    })
    input.push(...(await Promise.all(results)))
  }
  throw new Error('The model came to no answer.')
}
