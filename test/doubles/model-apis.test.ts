import Anthropic from '@anthropic-ai/sdk'
import OpenAI from 'openai'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type AnthropicDouble, openAnthropic } from './anthropic.ts'
import { type OpenAiDouble, openOpenAi } from './openai.ts'
import type { Think } from './thinking.ts'

/** Asks for the first tool it has, then says what that gave. */
const think: Think = ({ tools, results }) => {
  const [name] = tools
  if (name === undefined || results.length > 0) return { text: results.at(-1)?.text ?? 'Hello.' }
  return { calls: [{ name, args: { city: 'Zurich' } }] }
}

let openai: OpenAI
let anthropic: Anthropic
let doubles: readonly [OpenAiDouble, AnthropicDouble]
beforeAll(async () => {
  doubles = [await openOpenAi(think), await openAnthropic(think)]
  const [{ baseUrl, apiKey }, other] = doubles
  openai = new OpenAI({ baseURL: baseUrl, apiKey, maxRetries: 0 })
  anthropic = new Anthropic({ baseURL: other.baseUrl, apiKey: other.apiKey, maxRetries: 0 })
})
afterAll(async () => {
  for (const double of doubles) await double[Symbol.asyncDispose]()
})

const model = 'double'
const user = { role: 'user' as const, content: 'How warm is it?' }
const parameters = { type: 'object' as const, properties: { city: { type: 'string' } } }

describe('OpenAI chat completions', () => {
  const tool = (name: string, schema: Record<string, unknown> = parameters) => ({
    type: 'function' as const,
    function: { name, parameters: schema },
  })
  const call = {
    id: 'call_1',
    type: 'function' as const,
    function: { name: 'weather', arguments: '{}' },
  }
  const ask = (
    messages: OpenAI.ChatCompletionMessageParam[],
    ...tools: ReturnType<typeof tool>[]
  ) => openai.chat.completions.create({ model, messages, ...(tools.length === 0 ? {} : { tools }) })

  test('calls a tool, then answers', async () => {
    const { choices } = await ask([user], tool('weather'))
    expect(choices[0]?.finish_reason).toBe('tool_calls')
    const message = choices[0]?.message
    if (message === undefined) throw new Error('no message')
    const result = {
      role: 'tool' as const,
      tool_call_id: message.tool_calls?.[0]?.id ?? '',
      content: '6 degrees',
    }
    const second = await ask([user, message, result], tool('weather'))
    expect(second.choices[0]?.message.content).toBe('6 degrees')
  })

  test.each([
    ['a name with a dot', () => ask([user], tool('city.weather')), 'does not match pattern'],
    ['a name of 65 letters', () => ask([user], tool('a'.repeat(65))), 'maximum length 64'],
    [
      'a choice at the root',
      () => ask([user], tool('a', { ...parameters, anyOf: [] })),
      'top level',
    ],
    [
      'an array without items',
      () => ask([user], tool('a', { type: 'object', properties: { b: { type: 'array' } } })),
      `In context=('properties', 'b'), array schema missing items`,
    ],
    [
      'a call without a result',
      () => ask([user, { role: 'assistant', tool_calls: [call] }, user]),
      'did not have response messages: call_1',
    ],
    [
      'a result without a call',
      () => ask([user, { role: 'tool', tool_call_id: 'call_1', content: 'x' }]),
      'must be a response to a preceeding message',
    ],
  ])('refuses %s', async (_, asking, message) => {
    await expect(asking()).rejects.toMatchObject({
      status: 400,
      type: 'invalid_request_error',
      message: expect.stringContaining(message),
    })
  })

  test('refuses a wrong key', async () => {
    const stranger = new OpenAI({ baseURL: openai.baseURL, apiKey: 'sk-wrong', maxRetries: 0 })
    const asking = stranger.chat.completions.create({ model, messages: [user] })
    await expect(asking).rejects.toMatchObject({ status: 401 })
  })
})

describe('OpenAI Responses', () => {
  const call = { type: 'function_call' as const, call_id: 'call_1', name: 'a', arguments: '{}' }
  const output = { type: 'function_call_output' as const, call_id: 'call_1', output: 'x' }
  const ask = (...input: OpenAI.Responses.ResponseInputItem[]) =>
    openai.responses.create({ model, input })

  test('answers a text', async () => {
    expect(await openai.responses.create({ model, input: 'Hi' })).toMatchObject({
      output_text: 'Hello.',
    })
  })

  test.each([
    ['a call without a result', () => ask(user, call), 'No tool output found for function call'],
    ['a result without a call', () => ask(user, output), 'No tool call found for function call'],
  ])('refuses %s', async (_, asking, message) => {
    await expect(asking()).rejects.toMatchObject({
      status: 400,
      message: expect.stringContaining(message),
    })
  })
})

describe('Anthropic Messages', () => {
  const ask = (messages: Anthropic.MessageParam[], ...tools: Anthropic.Tool[]) =>
    anthropic.messages.create({ model, max_tokens: 100, messages, tools })
  const use = {
    role: 'assistant' as const,
    content: [{ type: 'tool_use' as const, id: 'toolu_1', name: 'a', input: {} }],
  }
  const result = {
    role: 'user' as const,
    content: [{ type: 'tool_result' as const, tool_use_id: 'toolu_1', content: 'x' }],
  }
  const key = (name: string) => ({
    name: 'a',
    input_schema: { type: 'object' as const, properties: { [name]: {} } },
  })

  test.each([
    ['a name with a dot', () => ask([user], { ...key('b'), name: 'a.b' }), 'tools.0.custom.name'],
    ['a name of an argument with a bracket', () => ask([user], key('b[]')), 'Property keys'],
    [
      'a choice at the root',
      () => ask([user], { name: 'a', input_schema: { ...parameters, oneOf: [] } }),
      'does not support oneOf, allOf, or anyOf at the top level',
    ],
    [
      'a list of items as draft-07 has it',
      () =>
        ask([user], {
          name: 'a',
          input_schema: { type: 'object', properties: { b: { items: [{}] } } },
        }),
      'must match JSON Schema draft 2020-12',
    ],
    ['a call without a result', () => ask([user, use, user]), 'without `tool_result` blocks'],
    ['a call at the end', () => ask([user, use]), 'without `tool_result` blocks'],
    ['a result without a call', () => ask([user, result]), 'unexpected `tool_use_id`'],
  ])('refuses %s', async (_, asking, message) => {
    await expect(asking()).rejects.toMatchObject({
      status: 400,
      message: expect.stringContaining(message),
    })
  })

  test('takes a result right after its call', async () => {
    expect(await ask([user, use, result])).toMatchObject({ content: [{ text: 'x' }] })
  })
})
