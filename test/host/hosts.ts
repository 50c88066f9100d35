import { createOpenAICompatible } from '@ai-sdk/openai-compatible'
import Anthropic from '@anthropic-ai/sdk'
import type { ModelMessage } from 'ai'
import OpenAI from 'openai'
import { openAnthropic } from '../doubles/anthropic.ts'
import { openOpenAi } from '../doubles/openai.ts'
import type { Asked, Think } from '../doubles/thinking.ts'
import { answer as answerByAiSdk } from './examples/ai-sdk.ts'
import { answer as answerByAnthropic } from './examples/anthropic.ts'
import { answer as answerByChat } from './examples/openai-chat.ts'
import { answer as answerByResponses } from './examples/openai-responses.ts'
import type { Patchbay } from './examples/patchbay.ts'

/** A chat product that has a model's API and Patchbay. */
export interface Host extends AsyncDisposable {
  /** The next turn of its one conversation. */
  readonly ask: (patchbay: Patchbay, said: string) => Promise<string>
  /** What its model was asked, oldest first. */
  readonly asked: readonly Asked[]
  /** What the model's API found wrong. */
  readonly refused: readonly string[]
}

const MODEL = 'double'
const CONVERSATION = 'conv-42'

/** Each way of docs/host.md to be one. */
export const HOSTS: Readonly<Record<string, (think: Think) => Promise<Host>>> = {
  'OpenAI chat completions': async (think) => {
    const double = await openOpenAi(think)
    const { baseUrl: baseURL, apiKey } = double
    const openai = new OpenAI({ baseURL, apiKey, maxRetries: 0 })
    const messages: OpenAI.ChatCompletionMessageParam[] = []
    return {
      ...double,
      ask: (patchbay, said) => {
        messages.push({ role: 'user', content: said })
        return answerByChat(openai, MODEL, patchbay, CONVERSATION, messages)
      },
    }
  },
  'OpenAI Responses': async (think) => {
    const double = await openOpenAi(think)
    const { baseUrl: baseURL, apiKey } = double
    const openai = new OpenAI({ baseURL, apiKey, maxRetries: 0 })
    const input: OpenAI.Responses.ResponseInputItem[] = []
    return {
      ...double,
      ask: (patchbay, said) => {
        input.push({ role: 'user', content: said })
        return answerByResponses(openai, MODEL, patchbay, CONVERSATION, input)
      },
    }
  },
  'Anthropic Messages': async (think) => {
    const double = await openAnthropic(think)
    const { baseUrl: baseURL, apiKey } = double
    const anthropic = new Anthropic({ baseURL, apiKey, maxRetries: 0 })
    const messages: Anthropic.MessageParam[] = []
    return {
      ...double,
      ask: (patchbay, said) => {
        messages.push({ role: 'user', content: said })
        return answerByAnthropic(anthropic, MODEL, patchbay, CONVERSATION, messages)
      },
    }
  },
  'the AI SDK': async (think) => {
    const double = await openOpenAi(think)
    const { baseUrl: baseURL, apiKey } = double
    const model = createOpenAICompatible({ name: 'double', baseURL, apiKey })(MODEL)
    const messages: ModelMessage[] = []
    return {
      ...double,
      ask: (patchbay, said) => {
        messages.push({ role: 'user', content: said })
        return answerByAiSdk(model, patchbay, CONVERSATION, messages)
      },
    }
  },
}
