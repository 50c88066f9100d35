import { z } from 'zod'
import { openReceiver } from '../fixtures/receiver.ts'

export interface Llm extends AsyncDisposable {
  /** Settings that make this the product's model. */
  readonly env: Readonly<Record<string, string>>
  /** The messages of each request, oldest first. */
  readonly asked: readonly (readonly string[])[]
  /** What it answers to what was said last. */
  answer: (said: string) => string
  /** Requests get no answer until `release`, and some may be cut off before. */
  readonly hold: () => void
  readonly release: () => void
  /** The next so many requests are answered with 500. */
  readonly failNext: (times: number) => void
}

const request = z.object({ messages: z.array(z.object({ content: z.string() })) })

/** A model behind an API of chat completions, which thinks for as long as a test wants. */
export async function openLlm(): Promise<Llm> {
  const asked: string[][] = []
  const waiting: (() => void)[] = []
  let isHeld = false
  let failures = 0
  const api = await openReceiver((response, { body }) => {
    const messages = request.parse(JSON.parse(body)).messages.map(({ content }) => content)
    asked.push(messages)
    if (failures > 0) {
      failures -= 1
      response.writeHead(500).end()
      return
    }
    const send = () => {
      response.writeHead(200, { 'content-type': 'text/event-stream' })
      const said = llm.answer(messages.at(-1) ?? '')
      response.end(
        `${chunk({ role: 'assistant', content: said })}${chunk({}, 'stop')}data: [DONE]\n\n`,
      )
    }
    if (isHeld) waiting.push(send)
    else send()
  })
  const llm: Llm = {
    env: { LLM_BASE_URL: `${api.url}/v1`, LLM_MODEL: 'double' },
    asked,
    answer: (said) => `Answer to: ${said}`,
    hold: () => {
      isHeld = true
    },
    release: () => {
      isHeld = false
      for (const send of waiting.splice(0)) send()
    },
    failNext: (times) => {
      failures = times
    },
    [Symbol.asyncDispose]: () => api[Symbol.asyncDispose](),
  }
  return llm
}

function chunk(delta: object, finishReason: string | null = null): string {
  const choices = [{ index: 0, delta, finish_reason: finishReason }]
  const body = { id: 'c1', object: 'chat.completion.chunk', created: 1, model: 'double', choices }
  return `data: ${JSON.stringify(body)}\n\n`
}
