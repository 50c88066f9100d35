import { createOpenAICompatible } from '@ai-sdk/openai-compatible'
import { dynamicTool, isStepCount, jsonSchema, streamText, type ToolSet } from 'ai'
import { AppError } from '../core/error.ts'
import type { Secret } from '../core/secret.ts'
import type { Model, ModelTurn } from './model.ts'

const MAX_STEPS = 8
const MAX_RETRIES = 1
const DEFAULT_TIMEOUT_MS = 120_000

export interface AiModelOptions {
  readonly baseUrl: string
  readonly apiKey: Secret | undefined
  readonly model: string
  readonly fetch: typeof fetch
  /** For the whole answer, its tools included. */
  readonly timeoutMs?: number
}

/**
 * Any server that speaks OpenAI's chat completions, through the `ai` package. Tools go by their wire names. An answer that
 * did not come to its end is none: `UNAVAILABLE`.
 */
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
      const deadline = AbortSignal.timeout(options.timeoutMs ?? DEFAULT_TIMEOUT_MS)
      const result = streamText({
        model: provider(options.model),
        messages: turn.messages.map(({ role, content }) => ({ role, content })),
        tools: toolSet(turn),
        stopWhen: isStepCount(MAX_STEPS),
        maxRetries: MAX_RETRIES,
        abortSignal: AbortSignal.any([turn.signal, deadline]),
        // Errors come in the stream, too; without this they are printed.
        onError: () => undefined,
      })
      const content = await read(result.stream, turn.onDelta).catch((error: unknown) => {
        throw unavailable(deadline.aborted ? ' in time' : reasonOf(error))
      })
      return { content: content === '' ? '(The model gave no answer.)' : content }
    },
  }
}

type Part = ReturnType<typeof streamText>['stream'] extends AsyncIterable<infer P> ? P : never

/** The text of all steps, an empty line between them. Throws what ended the stream before its end. */
async function read(stream: AsyncIterable<Part>, onDelta: (text: string) => void): Promise<string> {
  const texts: string[] = []
  let isNewStep = false
  const add = (text: string) => {
    texts.push(text)
    onDelta(text)
  }
  for await (const part of stream) {
    if (part.type === 'error') throw part.error
    if (part.type === 'abort') throw new Error('aborted')
    if (part.type === 'start-step') isNewStep = texts.length > 0
    if (part.type !== 'text-delta' || part.text === '') continue
    if (isNewStep) add('\n\n')
    isNewStep = false
    add(part.text)
  }
  return texts.join('')
}

function toolSet({ tools, runTool }: ModelTurn): ToolSet {
  return Object.fromEntries(
    tools.map((tool) => [
      tool.wireName,
      dynamicTool({
        description: tool.description,
        inputSchema: jsonSchema(tool.argsSchema),
        // By its own name: what the model called is looked up in what it was offered, never spelled back.
        execute: async (args) => (await runTool(tool.name, args)).content,
      }),
    ]),
  )
}

/** Status or code alone. The provider's own words may repeat the request's key or what people wrote. */
function reasonOf(error: unknown): string {
  for (let at = error; at instanceof Error; at = innerOf(at)) {
    if ('statusCode' in at && typeof at.statusCode === 'number') return ` (HTTP ${at.statusCode})`
    if ('code' in at && /^[A-Z_]+$/.test(String(at.code))) return ` (${at.code})`
  }
  return ''
}

/** A failure after retries has the last one under `lastError`. */
function innerOf(error: Error): unknown {
  return 'lastError' in error ? error.lastError : error.cause
}

function unavailable(reason: string): AppError {
  return new AppError('UNAVAILABLE', `The model could not answer${reason}. Nothing was saved.`)
}
