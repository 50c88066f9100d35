import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { openStory, type Story, type StoryOrg } from '../behaviours/story.ts'
import type { Think } from '../doubles/thinking.ts'
import { openReceiver, type Receiver } from '../fixtures/receiver.ts'
import { listTools, type Patchbay, runTool } from './examples/patchbay.ts'
import { HOSTS, type Host } from './hosts.ts'

let story: Story
let org: StoryOrg
let weather: Receiver
let patchbay: Patchbay

beforeAll(async () => {
  story = await openStory({ isWorker: false })
  org = await story.addOrg()
  weather = await openReceiver((response, { url, body }) => {
    if (url === '/broken') {
      response.writeHead(500).end('the thermometer is broken')
      return
    }
    const { args } = JSON.parse(body)
    response.setHeader('content-type', 'application/json')
    response.end(JSON.stringify({ city: args.city, degrees: args.city.length }))
  })
  await define('city.weather', '/now')
  await define('city.broken', '/broken')
  // What one API or another refuses as it is.
  await define('odd.search', '/now', {
    type: 'object',
    properties: { 'filter[id]': { type: 'array' }, city: { type: 'string' } },
    anyOf: [{ required: ['city'] }, { required: ['filter[id]'] }],
  })
  const made = await org.call('POST', `${org.path}/api-keys`, {
    name: 'My chat',
    permissions: ['org:tools:use'],
  })
  patchbay = { url: story.url, orgId: org.id, token: made.body.key }
})
afterAll(async () => {
  await weather[Symbol.asyncDispose]()
  await story[Symbol.asyncDispose]()
})
beforeEach(() => {
  weather.requests.length = 0
})

const CITY = {
  type: 'object',
  properties: { city: { type: 'string' } },
  required: ['city'],
  additionalProperties: false,
}

async function define(name: string, path: string, argsSchema: object = CITY, more = {}) {
  const tools = `${org.path}/integrations/${org.integrationId}/tools`
  const httpConfig = { method: 'POST', url: weather.url + path }
  const tool = { name, description: 'Tells the weather.', argsSchema, httpConfig, ...more }
  expect(await org.call('POST', tools, tool)).toMatchObject({ status: 201 })
}

/** Calls in turns, then an answer that repeats what came of the last ones. */
function calling(...turns: { name: string; args: object | string }[][]): Think {
  let turn = 0
  return ({ results }) => {
    const calls = turns[turn]
    turn += 1
    const last = results.slice(-(turns.at(-1)?.length ?? 1)).map(({ text }) => text)
    return calls === undefined ? { text: last.join(' and ') } : { calls }
  }
}

async function runsOf(name: string) {
  const { rows } = await story.pool.query(
    'select outcome, conversation_id, source from patchbay.tool_runs where org_id = $1 and tool = $2',
    [org.id, name],
  )
  return rows
}

describe.each(Object.entries(HOSTS))('a chat product on %s', (_, openHost) => {
  async function asking(think: Think, work: (host: Host) => Promise<void>) {
    await using host = await openHost(think)
    await work(host)
    expect(host.refused).toEqual([])
  }

  test('offers all tools, runs what the model asks for, and gives it the result', async () => {
    const before = (await runsOf('city.weather')).length
    const think = calling([{ name: 'city_weather', args: { city: 'Zurich' } }])
    await asking(think, async (host) => {
      expect(await host.ask(patchbay, 'How warm is it?')).toBe('{"city":"Zurich","degrees":6}')
      expect(host.asked[0]).toMatchObject({ said: 'How warm is it?', results: [] })
      expect(host.asked[0]?.tools).toEqual(
        expect.arrayContaining(['city_weather', 'odd_search', 'clock_now']),
      )
      expect(host.asked).toHaveLength(2)
    })
    const runs = await runsOf('city.weather')
    expect(runs.slice(before)).toEqual([
      { outcome: 'success', conversation_id: 'conv-42', source: 'api' },
    ])
  })

  test('lets the model mend arguments that do not fit', async () => {
    const think = calling(
      [{ name: 'city_weather', args: { town: 'Zurich' } }],
      [{ name: 'city_weather', args: { city: 'Rome' } }],
    )
    await asking(think, async (host) => {
      expect(await host.ask(patchbay, 'How warm is it?')).toBe('{"city":"Rome","degrees":4}')
      expect(host.asked[1]?.results.at(-1)?.text).toContain('args.city is missing')
      expect(host.asked[1]?.results.at(-1)?.text).toContain('args.town is not an argument')
    })
    expect(weather.requests).toHaveLength(1)
  })

  test('tells the model of a tool that fails, and of one that is not there', async () => {
    const think = calling(
      [{ name: 'city_broken', args: { city: 'Zurich' } }],
      [{ name: 'city_wether', args: { city: 'Zurich' } }],
      [{ name: 'city_weather', args: { city: 'Zurich' } }],
    )
    await asking(think, async (host) => {
      expect(await host.ask(patchbay, 'How warm is it?')).toContain('degrees')
      const texts = host.asked.map(({ results }) => results.at(-1)?.text)
      expect(texts[1]).toContain('the thermometer is broken')
      expect(texts[2]).toMatch(/city[._]weather/)
    })
  })

  test('runs two calls of one answer, and gives each its own result', async () => {
    const think = calling([
      { name: 'city_weather', args: { city: 'Oslo' } },
      { name: 'city_weather', args: { city: 'Lisbon' } },
    ])
    await asking(think, async (host) => {
      expect(await host.ask(patchbay, 'Where is it warmer?')).toBe(
        '{"city":"Oslo","degrees":4} and {"city":"Lisbon","degrees":6}',
      )
      const ids = host.asked[1]?.results.map(({ callId }) => callId)
      expect(new Set(ids).size).toBe(2)
    })
  })

  test('calls a tool by argument names that its API takes, which reach the tool as its own', async () => {
    const think = calling([{ name: 'odd_search', args: { city: 'Bern', filter_id_: [1] } }])
    await asking(think, async (host) => {
      expect(await host.ask(patchbay, 'Search.')).toBe('{"city":"Bern","degrees":4}')
    })
    const [request] = weather.requests
    expect(JSON.parse(request?.body ?? '')).toMatchObject({
      args: { city: 'Bern', 'filter[id]': [1] },
    })
  })

  test('goes on with its conversation after a turn that called tools', async () => {
    let turn = 0
    const think: Think = ({ said }) => {
      turn += 1
      return turn === 1
        ? { calls: [{ name: 'city_weather', args: { city: 'Rome' } }] }
        : { text: `You said: ${said}` }
    }
    await asking(think, async (host) => {
      await host.ask(patchbay, 'How warm is it?')
      expect(await host.ask(patchbay, 'Thanks.')).toBe('You said: Thanks.')
    })
  })
})

test('a call that is asked for twice runs once', async () => {
  const call = {
    id: 'call_twice',
    name: 'city_weather',
    args: { city: 'Zurich' },
    conversationId: 'conv-42',
  }
  const [first, second] = await Promise.all([runTool(patchbay, call), runTool(patchbay, call)])
  expect(first).toEqual({ isError: false, text: '{"city":"Zurich","degrees":6}' })
  expect(second).toEqual(first)
  expect(weather.requests).toHaveLength(1)
})

test('a tool that was run too often in this minute is busy, and the model is told', async () => {
  await define('city.rare', '/now', CITY, { rateLimit: { perMinute: 1 } })
  const call = { name: 'city_rare', args: { city: 'Zurich' }, conversationId: 'conv-42' }
  expect(await runTool(patchbay, { ...call, id: 'call_rare_1' })).toMatchObject({ isError: false })
  expect(await runTool(patchbay, { ...call, id: 'call_rare_2' })).toMatchObject({
    isError: true,
    text: expect.stringContaining('Busy: '),
  })
})

test('arguments that are not JSON are told to the model', async () => {
  const call = { id: 'call_text', name: 'city_weather', args: '{"city":', conversationId: 'c' }
  expect(await runTool(patchbay, call)).toEqual({
    isError: true,
    text: 'The arguments are not JSON.',
  })
})

test('a token that may do nothing here is nothing that the model could mend', async () => {
  const stranger = { ...patchbay, token: 'nobody' }
  await expect(listTools(stranger, 'openai')).rejects.toThrow('Patchbay: ')
  const call = { id: 'call_stranger', name: 'city_weather', args: {}, conversationId: 'c' }
  await expect(runTool(stranger, call)).rejects.toThrow('HTTP 401')
})

test('docs/host.md shows these examples as they run here', async () => {
  const text = await readFile(join(import.meta.dirname, '../../docs/host.md'), 'utf8')
  const shown = [...text.matchAll(/```ts\n([\s\S]*?)```/g)].map(([, code]) => code)
  const loops = ['openai-chat', 'openai-responses', 'anthropic', 'ai-sdk', 'mcp']
  const examples = ['patchbay', ...loops, 'approval']
  const files = await Promise.all(
    examples.map((name) => readFile(join(import.meta.dirname, `examples/${name}.ts`), 'utf8')),
  )
  expect(shown).toEqual(files)
})
