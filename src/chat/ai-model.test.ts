import type { ServerResponse } from 'node:http'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { type Answer, openReceiver, type Receiver } from '../../test/fixtures/receiver.ts'
import { Secret } from '../core/secret.ts'
import { parseAllowList } from '../egress/allow-list.ts'
import { type Egress, openEgress } from '../egress/egress.ts'
import { makeAiModel } from './ai-model.ts'
import type { ModelTurn } from './model.ts'

const KEY = 'sk-very-secret'
const TOOL = {
  name: 'jira.createIssue',
  wireName: 'jira_createIssue',
  description: 'Creates an issue.',
  argsSchema: { type: 'object', properties: { title: { type: 'string' } } },
}

let egress: Egress
/** Answers as a server of chat completions does; one answer for each request. */
let api: Receiver
let answers: Answer[]

beforeAll(async () => {
  egress = openEgress({
    isHttpAllowed: true,
    allow: parseAllowList([]),
    allowInternal: parseAllowList([]),
  })
  api = await openReceiver((response, request) => {
    const answer = answers.shift()
    if (answer === undefined) response.writeHead(404).end()
    else answer(response, request)
  })
})
afterAll(async () => {
  await egress[Symbol.asyncDispose]()
  await api[Symbol.asyncDispose]()
})
beforeEach(() => {
  answers = []
  api.requests.length = 0
})

function chunk(delta: object, finishReason: string | null = null): string {
  const choices = [{ index: 0, delta, finish_reason: finishReason }]
  const body = { id: 'c1', object: 'chat.completion.chunk', created: 1, model: 'm', choices }
  return `data: ${JSON.stringify(body)}\n\n`
}

function streams(...chunks: string[]): Answer {
  return (response) => {
    open(response)
    response.end(`${chunks.join('')}data: [DONE]\n\n`)
  }
}

const open = (response: ServerResponse) =>
  response.writeHead(200, { 'content-type': 'text/event-stream' })

const says = (text: string): Answer =>
  streams(
    ...text.split(/(?<= )/).map((content) => chunk({ role: 'assistant', content })),
    chunk({}, 'stop'),
  )

function calls(name: string, args: string, before = ''): Answer {
  const call = { index: 0, id: 'call_1', type: 'function', function: { name, arguments: '' } }
  const middle = Math.floor(args.length / 2)
  return streams(
    chunk({ role: 'assistant', content: before }),
    chunk({ tool_calls: [call] }),
    chunk({ tool_calls: [{ index: 0, function: { arguments: args.slice(0, middle) } }] }),
    chunk({ tool_calls: [{ index: 0, function: { arguments: args.slice(middle) } }] }),
    chunk({}, 'tool_calls'),
  )
}

const fails =
  (status: number): Answer =>
  (response) =>
    response
      .writeHead(status, { 'content-type': 'application/json' })
      .end(JSON.stringify({ error: { message: `Incorrect API key provided: ${KEY}` } }))

async function respond(turn: Partial<ModelTurn> = {}, timeoutMs?: number) {
  const deltas: string[] = []
  const ran: unknown[] = []
  const model = makeAiModel({
    baseUrl: `${api.url}/v1`,
    apiKey: new Secret(KEY),
    model: 'gpt-test',
    fetch: egress.operatorFetch,
    ...(timeoutMs === undefined ? {} : { timeoutMs }),
  })
  const { content } = await model.respond({
    messages: [
      { role: 'user', content: 'Hi' },
      { role: 'assistant', content: 'Hello.' },
      { role: 'user', content: 'Create an issue.' },
    ],
    tools: [TOOL],
    runTool: async (name, args) => {
      ran.push([name, args])
      return { isOk: true, content: '{"key":"PB-1"}' }
    },
    onDelta: (text) => deltas.push(text),
    signal: new AbortController().signal,
    ...turn,
  })
  return { content, deltas, ran }
}

const sent = () => api.requests.map((request) => JSON.parse(request.body))

describe('a model behind an API of chat completions', () => {
  test('is sent the conversation, the tools by their wire names, and the key', async () => {
    answers = [says('Done and done.')]
    const { content, deltas } = await respond()
    expect(content).toBe('Done and done.')
    expect(deltas).toEqual(['Done ', 'and ', 'done.'])
    expect(api.requests).toMatchObject([
      { method: 'POST', url: '/v1/chat/completions', headers: { authorization: `Bearer ${KEY}` } },
    ])
    expect(sent()).toMatchObject([
      {
        model: 'gpt-test',
        stream: true,
        messages: [
          { role: 'user', content: 'Hi' },
          { role: 'assistant', content: 'Hello.' },
          { role: 'user', content: 'Create an issue.' },
        ],
        tools: [
          {
            type: 'function',
            function: {
              name: 'jira_createIssue',
              description: 'Creates an issue.',
              parameters: TOOL.argsSchema,
            },
          },
        ],
      },
    ])
  })

  test('runs a tool, gets its answer back, and goes on', async () => {
    answers = [calls('jira_createIssue', '{"title":"Hi"}', 'One moment.'), says('It is PB-1.')]
    const { content, deltas, ran } = await respond()
    expect(ran).toEqual([['jira.createIssue', { title: 'Hi' }]])
    expect(content).toBe('One moment.\n\nIt is PB-1.')
    expect(deltas.join('')).toBe(content)
    expect(sent()[1].messages.slice(3)).toMatchObject([
      {
        role: 'assistant',
        tool_calls: [
          { id: 'call_1', function: { name: 'jira_createIssue', arguments: '{"title":"Hi"}' } },
        ],
      },
      { role: 'tool', tool_call_id: 'call_1', content: '{"key":"PB-1"}' },
    ])
  })

  test.each([
    ['a tool that does not exist', calls('jira_create', '{}'), 'jira_create'],
    ['arguments that are not JSON', calls('jira_createIssue', '{"title":'), ''],
  ])('is told of %s, and may go on', async (_, call, told) => {
    answers = [call, says('Sorry.')]
    const { content, ran } = await respond()
    expect(content).toBe('Sorry.')
    expect(ran).toEqual([])
    const answer = sent()[1].messages.at(-1)
    expect(answer).toMatchObject({ role: 'tool', content: expect.stringContaining(told) })
  })

  test('that only ever calls tools is stopped after eight steps', async () => {
    answers = Array.from({ length: 20 }, () => calls('jira_createIssue', '{}'))
    const { content, ran } = await respond()
    expect(ran).toHaveLength(8)
    expect(api.requests).toHaveLength(8)
    expect(content).toBe('(The model gave no answer.)')
  })

  test('is asked without tools where there are none', async () => {
    answers = [says('Hi.')]
    await respond({ tools: [] })
    expect(sent()[0]).not.toHaveProperty('tools')
  })
})

describe('a model that does not answer is not available, and the key is nowhere:', () => {
  async function failure(turn?: Partial<ModelTurn>, timeoutMs?: number) {
    const error: unknown = await respond(turn, timeoutMs).catch((thrown: unknown) => thrown)
    expect(error).toMatchObject({ name: 'AppError', code: 'UNAVAILABLE' })
    const shown = error instanceof Error ? `${error.stack}${JSON.stringify(error)}` : ''
    expect(shown).not.toContain(KEY)
    expect(error).not.toHaveProperty('cause')
    return error
  }

  test('it refuses the key', async () => {
    answers = [fails(401)]
    expect(await failure()).toMatchObject({
      message: 'The model could not answer (HTTP 401). Nothing was saved.',
    })
    expect(api.requests).toHaveLength(1)
  })

  test('it breaks, also when it is asked once more', async () => {
    answers = [fails(500), fails(500), says('too late')]
    expect(await failure()).toMatchObject({
      message: 'The model could not answer (HTTP 500). Nothing was saved.',
    })
    expect(api.requests).toHaveLength(2)
  })

  test('it breaks off in the middle', async () => {
    answers = [
      (response) => {
        open(response)
        response.write(chunk({ role: 'assistant', content: 'Half of ' }), () => response.destroy())
      },
    ]
    await failure()
  })

  test('it says in the stream that it failed', async () => {
    answers = [streams(`data: {"error":{"message":"overloaded ${KEY}"}}\n\n`)]
    await failure()
  })

  test('it takes too long in the middle', async () => {
    answers = [
      (response) => {
        open(response)
        response.write(chunk({ role: 'assistant', content: 'Half of ' }))
      },
    ]
    expect(await failure({}, 200)).toMatchObject({
      message: 'The model could not answer in time. Nothing was saved.',
    })
  })

  test('the one who asked leaves in the middle', async () => {
    const caller = new AbortController()
    answers = [
      (response) => {
        open(response)
        response.write(chunk({ role: 'assistant', content: 'Half of ' }))
      },
    ]
    await failure({ signal: caller.signal, onDelta: () => caller.abort() })
  })

  test('nothing listens there', async () => {
    const gone = await openReceiver()
    await gone[Symbol.asyncDispose]()
    const model = makeAiModel({
      baseUrl: gone.url,
      apiKey: undefined,
      model: 'm',
      fetch: egress.operatorFetch,
    })
    const answer = model.respond({
      messages: [{ role: 'user', content: 'Hi' }],
      tools: [],
      runTool: async () => ({ isOk: true, content: '' }),
      onDelta: () => undefined,
      signal: new AbortController().signal,
    })
    await expect(answer).rejects.toMatchObject({
      code: 'UNAVAILABLE',
      message: 'The model could not answer (ECONNREFUSED). Nothing was saved.',
    })
  })
})
