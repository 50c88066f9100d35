import { randomBytes } from 'node:crypto'
import type { ServerResponse } from 'node:http'
import { z } from 'zod'
import { openReceiver, type ReceivedRequest } from '../fixtures/receiver.ts'
import { chatAnswer, readChat } from './openai/chat.ts'
import { readResponses, responsesAnswer } from './openai/responses.ts'
import { type Asked, Refusal, type Think } from './thinking.ts'

export interface OpenAiDouble extends AsyncDisposable {
  readonly baseUrl: string
  readonly apiKey: string
  /** What it was asked, oldest first. */
  readonly asked: readonly Asked[]
  /** The messages of requests that it refused. */
  readonly refused: readonly string[]
}

/** Like no other, whichever process it comes from. */
function newCallId(): string {
  return `call_${randomBytes(12).toString('hex')}`
}

const API_KEY = 'sk-double'

/** OpenAI's chat completions and Responses, as far as tools go: it refuses what the real one refuses, in the same words. */
export async function openOpenAi(think: Think): Promise<OpenAiDouble> {
  const asked: Asked[] = []
  const refused: string[] = []
  const answer = (request: ReceivedRequest): object => {
    if (request.headers.authorization !== `Bearer ${API_KEY}`) {
      throw new Refusal('Incorrect API key provided.', { status: 401 })
    }
    const body: unknown = JSON.parse(request.body)
    const isChat = request.url === '/v1/chat/completions'
    if (!isChat && request.url !== '/v1/responses') throw new Refusal('Not found', { status: 404 })
    const read = isChat ? readChat(body) : readResponses(body)
    asked.push(read)
    const thought = think(read)
    return isChat ? chatAnswer(thought, newCallId) : responsesAnswer(thought, newCallId)
  }
  const api = await openReceiver((response, request) => {
    try {
      send(response, 200, answer(request))
    } catch (error) {
      const { message, status, param } = toRefusal(error)
      refused.push(message)
      const type = 'invalid_request_error'
      send(response, status, { error: { message, type, param, code: null } })
    }
  })
  return {
    baseUrl: `${api.url}/v1`,
    apiKey: API_KEY,
    asked,
    refused,
    [Symbol.asyncDispose]: () => api[Symbol.asyncDispose](),
  }
}

function toRefusal(error: unknown): Refusal {
  if (error instanceof Refusal) return error
  if (error instanceof z.ZodError) {
    const [issue] = error.issues
    const param = issue?.path.join('.') ?? ''
    return new Refusal(`Invalid value for '${param}': ${issue?.message}`, { param })
  }
  throw error
}

function send(response: ServerResponse, status: number, body: object): void {
  response.writeHead(status, { 'content-type': 'application/json', 'x-request-id': 'req_double' })
  response.end(JSON.stringify(body))
}
