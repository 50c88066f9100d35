import { describe, expect, test } from 'vitest'
import { demoModel } from './demo-model.ts'
import type { ToolAnswer } from './model.ts'

const tool = (name: string) => ({
  name,
  wireName: name.replaceAll('.', '_'),
  description: '',
  argsSchema: {},
})
const TOOLS = [tool('clock.now'), tool('jira.createIssue')]

async function say(
  content: string,
  answer: ToolAnswer = { isOk: true, content: '{"id":1}' },
  tools = TOOLS,
) {
  const deltas: string[] = []
  const calls: unknown[] = []
  const said = await demoModel.respond({
    messages: [
      { role: 'user', content: 'use clock.now {}' },
      { role: 'assistant', content: 'It is noon.' },
      { role: 'user', content },
    ],
    tools,
    runTool: async (name, args) => {
      calls.push([name, args])
      return answer
    },
    onDelta: (text) => deltas.push(text),
    signal: new AbortController().signal,
  })
  return { content: said.content, deltas, calls }
}

describe('the demo model', () => {
  test('says that it is one, and what can be tried', async () => {
    const { content, calls } = await say('Hello!')
    expect(content).toMatch(/demo model/)
    expect(content).toMatch(/You wrote 6 characters/)
    expect(content).toMatch(/use clock\.now \{\}/)
    expect(content).toMatch(/clock\.now, jira\.createIssue\.$/)
    expect(calls).toEqual([])
    expect(await say('Hello!')).toEqual(await say('Hello!'))
  })

  test('does not list tools without end', async () => {
    const many = Array.from({ length: 500 }, (_, at) => tool(`t${at}`))
    const { content } = await say('Hi', undefined, many)
    expect(content).toMatch(/t19 and 480 more\.$/)
  })

  test.each([
    ['use jira.createIssue {"title":"Hi"}', 'jira.createIssue', { title: 'Hi' }],
    ['  USE jira_createIssue\n{"a":\n{"b":"}"}}  ', 'jira_createIssue', { a: { b: '}' } }],
    ['use clock.now', 'clock.now', {}],
    ['use clock.now{}', 'clock.now', {}],
  ])('calls a tool when it is told to: %j', async (content, name, args) => {
    const { content: answer, calls } = await say(content)
    expect(calls).toEqual([[name, args]])
    expect(answer).toBe(`Demo model: ${name} returned {"id":1}`)
  })

  test.each(['{oops', '[1]', 'null', '"x"', '{} {}'])(
    'says so when %j follows the tool, and calls nothing',
    async (json) => {
      const { content, calls } = await say(`use clock.now ${json}`)
      expect(content).toBe('Demo model: what follows `use clock.now` is not a JSON object.')
      expect(calls).toEqual([])
    },
  )

  test('says so when the tool failed', async () => {
    const { content } = await say('use clock.now {}', { isOk: false, content: 'HTTP 500' })
    expect(content).toBe('Demo model: clock.now failed: HTTP 500')
  })

  test('streams word by word what it says as a whole', async () => {
    const { content, deltas } = await say('Hello!')
    expect(deltas.length).toBeGreaterThan(10)
    expect(deltas.join('')).toBe(content)
  })
})
