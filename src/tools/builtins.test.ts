import { expect, test } from 'vitest'
import { TOOL_NAME, wireNameOf } from '../core/tool-name.ts'
import { makeBuiltins } from './builtins.ts'

const searched: unknown[][] = []
const builtins = makeBuiltins({
  now: () => new Date('2026-03-29T00:30:00Z'),
  searchMessages: async (...args) => {
    searched.push(args)
    return []
  },
})
const context = { orgId: 'acme', conversationId: 'c1' }

async function run(name: string, args: Record<string, unknown>): Promise<unknown> {
  return builtins.find((tool) => tool.name === name)?.run(context, args)
}

test('built-in tools are named as tools of orgs are', () => {
  for (const { name, wireName } of builtins) {
    expect(name).toMatch(TOOL_NAME)
    expect(wireName).toBe(wireNameOf(name, '', () => false))
  }
})

test.each([
  [{}, 'UTC', 'Sunday', '29 March 2026'],
  [{ timeZone: 'America/New_York' }, 'America/New_York', 'Saturday', '28 March 2026'],
  [{ timeZone: 'Asia/Kolkata' }, 'Asia/Kolkata', 'Sunday', '06:00:00'],
])('clock.now with %j tells the time in %s', async (args, timeZone, weekday, local) => {
  expect(await run('clock.now', args)).toEqual({
    iso: '2026-03-29T00:30:00.000Z',
    timeZone,
    weekday,
    local: expect.stringContaining(local),
  })
})

test('clock.now names a time zone that does not exist', async () => {
  await expect(run('clock.now', { timeZone: 'Mars/Olympus' })).rejects.toMatchObject({
    name: 'AppError',
    message: 'timeZone: "Mars/Olympus" is not an IANA time zone',
  })
})

test('conversation.search looks in the conversation it is called from', async () => {
  expect(await run('conversation.search', { query: 'x' })).toEqual({ messages: [] })
  await run('conversation.search', { query: 'x', limit: 20 })
  expect(searched).toEqual([
    ['acme', 'c1', 'x', 5],
    ['acme', 'c1', 'x', 20],
  ])
})
