import { createOpenAICompatible } from '@ai-sdk/openai-compatible'
import { dynamicTool, isStepCount, jsonSchema, streamText, type ToolSet } from 'ai'
import { AppError } from '../core/error.ts'
import type { Secret } from '../core/secret.ts'
import type { Model, ModelTurn } from './model.ts'

const MAX_STEPS = 8
const TIMEOUT_MS = 120_000

export interface AiModelOptions {
  readonly baseUrl: string
  readonly apiKey: Secret | undefined
  readonly model: string
  readonly fetch: typeof fetch
}

/** Any server that speaks OpenAI's chat completions, through the `ai` package. Tools go by their wire names. */
export function makeAiModel(options: AiModelOptions): Model {
  const provider = createOpenAICompatible({
    name: 'llm',
    baseURL: options.baseUrl,
    fetch: options.fetch,
    ...(options.apiKey === undefined ? {} : { apiKey: options.apiKey.reveal() }),
  })
  return {
    name: options.model,
    respond: async (turn) => {
      const failures: unknown[] = []
      const result = streamText({
        model: provider(options.model),
        messages: turn.messages.map(({ role, content }) => ({ role, content })),
        tools: toolSet(turn),
        stopWhen: isStepCount(MAX_STEPS),
        maxRetries: 1,
        abortSignal: AbortSignal.any([turn.signal, AbortSignal.timeout(TIMEOUT_MS)]),
        onError: ({ error }) => {
          failures.push(error)
        },
      })
      const parts: string[] = []
      try {
        for await (const text of result.textStream) {
          parts.push(text)
          turn.onDelta(text)
        }
      } catch (error) {
        failures.push(error)
      }
      if (failures.length > 0) throw unavailable(failures[0])
      const content = parts.join('')
      return { content: content === '' ? '(The model gave no answer.)' : content }
    },
  }
}

function toolSet({ tools, runTool }: ModelTurn): ToolSet {
  return Object.fromEntries(
    tools.map((tool) => [
      tool.wireName,
      dynamicTool({
        description: tool.description,
        inputSchema: jsonSchema(tool.argsSchema),
        execute: async (args) => (await runTool(tool.wireName, args)).content,
      }),
    ]),
  )
}

/** What the caller may see: never the provider's words, which may carry the request's headers. */
function unavailable(cause: unknown): AppError {
  const status =
    cause instanceof Error && 'statusCode' in cause && typeof cause.statusCode === 'number'
      ? ` (HTTP ${cause.statusCode})`
      : ''
  return new AppError('UNAVAILABLE', `The model could not answer${status}. Nothing was saved.`, {
    cause,
  })
}
