import { randomBytes } from 'node:crypto'
import { createServer, type ServerResponse } from 'node:http'
import { readCard, type ShownCard } from './teams/card.ts'
import { makeOutgoingWebhook, type OutgoingWebhook } from './teams/outgoing-webhook.ts'

/** A card that a workflow has taken. */
export interface PostedCard extends ShownCard {
  /** As it came. */
  readonly body: string
  readonly bytes: number
}

/** `tenant only`: "Who can trigger the flow?" is not Anyone. */
export type FlowState = 'on' | 'off' | 'deleted' | 'tenant only'

/** A workflow "When a Teams webhook request is received" that posts to a channel. */
export interface Flow {
  readonly id: string
  /** What an admin copies from it; its query is compared byte for byte. */
  readonly url: string
  /** What its owner did to it. */
  state: FlowState
  /** Oldest first. */
  readonly cards: PostedCard[]
  /** Statuses it has answered with, oldest first. */
  readonly answers: number[]
}

export interface Failure {
  readonly status: number
  readonly body?: string
  readonly headers?: Readonly<Record<string, string>>
  /** Default 1. */
  readonly times?: number
}

export interface Teams extends AsyncDisposable {
  /** Without a slash at its end. */
  readonly url: string
  readonly port: number
  readonly createFlow: () => Flow
  /** Called at a URL of ours when somebody mentions its name. */
  readonly createOutgoingWebhook: (target: {
    readonly name: string
    readonly url: string
  }) => OutgoingWebhook
  /** The next requests to any workflow are answered with this, and nothing is posted. */
  readonly failNext: (failure: Failure) => void
  /** The next requests to any workflow get no answer. */
  readonly hangNext: (times?: number) => void
}

export interface TeamsOptions {
  /** How long Teams waits for the answer to a mention. Default 5000. */
  readonly answerWithinMs?: number
}

const MAX_BYTES = 28 * 1024
const MAX_PER_SECOND = 4
/** A little under the second, so that who sends every 250 ms is not refused for a late timer. */
const WINDOW_MS = 950
const PATH =
  /^\/powerautomate\/automations\/direct\/workflows\/([0-9a-f]{32})\/triggers\/manual\/paths\/invoke$/

interface FlowInside extends Flow {
  readonly query: string
  /** When it took the requests that still count for its rate, by `performance.now()`. */
  arrivals: number[]
}

interface Answer {
  readonly status: number
  readonly body: string
  readonly headers: Readonly<Record<string, string>>
}

/**
 * Teams as the world sees it: the Workflows endpoint that takes cards (envelope, 28 KB, 4 requests a second, 202 and an empty
 * body, the codes of workflows that are off, deleted or closed), and outgoing webhooks that call us.
 */
export async function openTeams(options: TeamsOptions = {}): Promise<Teams> {
  const flows = new Map<string, FlowInside>()
  const faults: (Failure | 'hang')[] = []

  function answerTo(method: string, url: string, body: Buffer): Answer {
    const mark = url.indexOf('?')
    const path = mark < 0 ? url : url.slice(0, mark)
    const query = mark < 0 ? '' : url.slice(mark + 1)
    const flow = flows.get(PATH.exec(path)?.[1] ?? '')
    if (flow === undefined || flow.state === 'deleted') {
      return refusal(404, 'WorkflowNotFound', 'The workflow could not be found.')
    }
    if (method !== 'POST') return refusal(405, 'MethodNotAllowed', 'Only POST triggers a workflow.')
    const answer = judge(flow, query, body)
    flow.answers.push(answer.status)
    return answer
  }

  const server = createServer((incoming, response) => {
    const chunks: Buffer[] = []
    incoming.on('data', (chunk: Buffer) => chunks.push(chunk))
    incoming.on('end', () => {
      const fault = faults.shift()
      if (fault === 'hang') return
      const answer =
        fault === undefined
          ? answerTo(incoming.method ?? '', incoming.url ?? '', Buffer.concat(chunks))
          : { body: '', headers: {}, ...fault }
      send(response, answer)
    })
  })
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  const address = server.address()
  const port = typeof address === 'object' && address !== null ? address.port : 0
  const url = `http://127.0.0.1:${port}`

  return {
    url,
    port,
    createFlow: () => {
      const id = randomBytes(16).toString('hex')
      const sig = randomBytes(32).toString('base64url')
      const query = `api-version=1&sp=%2Ftriggers%2Fmanual%2Frun&sv=1.0&sig=${sig}`
      const path = `/powerautomate/automations/direct/workflows/${id}/triggers/manual/paths/invoke`
      const flow: FlowInside = {
        id,
        url: `${url}${path}?${query}`,
        state: 'on',
        cards: [],
        answers: [],
        query,
        arrivals: [],
      }
      flows.set(id, flow)
      return flow
    },
    createOutgoingWebhook: (target) => makeOutgoingWebhook(target, options.answerWithinMs ?? 5000),
    failNext: (failure) => {
      for (let time = 0; time < (failure.times ?? 1); time += 1) faults.push(failure)
    },
    hangNext: (times = 1) => {
      for (let time = 0; time < times; time += 1) faults.push('hang')
    },
    [Symbol.asyncDispose]: async () => {
      const closed = new Promise((done) => server.close(done))
      server.closeAllConnections()
      await closed
    },
  }
}

function judge(flow: FlowInside, query: string, body: Buffer): Answer {
  if (query !== flow.query) {
    return refusal(401, 'InvalidAuthorization', 'The signature of the request is not valid.')
  }
  if (flow.state === 'tenant only') {
    return refusal(
      401,
      'DirectApiAuthorizationRequired',
      'The request must be authenticated only by OAuth of this tenant.',
    )
  }
  if (flow.state === 'off') {
    return refusal(400, 'WorkflowTriggerIsNotEnabled', 'The workflow trigger is not enabled.')
  }
  const now = performance.now()
  flow.arrivals = flow.arrivals.filter((at) => now - at < WINDOW_MS)
  if (flow.arrivals.length >= MAX_PER_SECOND) {
    return refusal(429, 'TooManyRequests', 'Rate limit is exceeded.')
  }
  flow.arrivals.push(now)
  if (body.length > MAX_BYTES) return { status: 413, body: 'request entity too large', headers: {} }
  const reading = readCard(body.toString())
  if (!reading.isCard) return refusal(400, 'BadRequest', reading.problem)
  flow.cards.push({ ...reading.card, body: body.toString(), bytes: body.length })
  return { status: 202, body: '', headers: {} }
}

function refusal(status: number, code: string, message: string): Answer {
  const headers = { 'content-type': 'application/json; charset=utf-8' }
  return { status, body: JSON.stringify({ error: { code, message } }), headers }
}

function send(response: ServerResponse, { status, body, headers }: Answer): void {
  response.writeHead(status, headers)
  response.end(body)
}
