import {
  dynamicTool,
  generateText,
  isStepCount,
  jsonSchema,
  type LanguageModel,
  type ModelMessage,
} from 'ai'
import { listTools, type Patchbay, runTool } from './patchbay.ts'

interface Listed {
  readonly name: string
  readonly description: string
  readonly inputSchema: Record<string, unknown>
}

/** One turn of a chat: the model calls tools until it has its answer. What was said goes on in `messages`. */
export async function answer(
  model: LanguageModel,
  patchbay: Patchbay,
  conversationId: string,
  messages: ModelMessage[],
): Promise<string> {
  const listed = await listTools<Listed>(patchbay, 'mcp')
  const tools = Object.fromEntries(
    listed.map(({ name, description, inputSchema }) => {
      const execute = async (args: unknown, { toolCallId: id }: { toolCallId: string }) => {
        const { isError, text } = await runTool(patchbay, { id, name, args, conversationId })
        if (isError) throw new Error(text) // Told to the model as the tool's error.
        return text
      }
      return [name, dynamicTool({ description, inputSchema: jsonSchema(inputSchema), execute })]
    }),
  )
  const result = await generateText({ model, messages, tools, stopWhen: isStepCount(8) })
  messages.push(...result.responseMessages)
  return result.text
}
