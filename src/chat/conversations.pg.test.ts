import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { openTestDatabase, type TestDatabase } from '../../test/fixtures/database.ts'
import { decodeCursor } from '../core/cursor.ts'
import { makeConversations } from './conversations.ts'

let database: TestDatabase
let conversations: ReturnType<typeof makeConversations>
let orgId: string

beforeAll(async () => {
  database = await openTestDatabase()
  conversations = makeConversations({ inOrg: database.inOrg })
})
afterAll(() => database[Symbol.asyncDispose]())
beforeEach(async () => {
  orgId = await database.addOrg()
})

const start = (org = orgId, title: string | null = null) => conversations.create(org, 'ann', title)

async function write(conversationId: string, ...contents: string[]): Promise<void> {
  for (const content of contents) {
    await database.pool.query(
      `insert into patchbay.messages (org_id, conversation_id, role, content)
       values ((select org_id from patchbay.conversations where id = $1), $1, 'user', $2)`,
      [conversationId, content],
    )
  }
}

const NOWHERE = '01a1f3c2-9d4e-7c11-8a51-6f0e2b7d9c02'
const FIRST = { limit: 50, after: null }

/** All pages of a list, as someone reads it who follows the cursors. */
async function readAll<Row>(
  read: (after: string | null) => Promise<{ rows: Row[]; nextCursor: string | null }>,
): Promise<Row[][]> {
  const pages: Row[][] = []
  let cursor: string | null = null
  do {
    const page: { rows: Row[]; nextCursor: string | null } = await read(
      cursor === null ? null : decodeCursor(cursor),
    )
    pages.push(page.rows)
    cursor = page.nextCursor
  } while (cursor !== null)
  return pages
}

describe('conversations', () => {
  test('are kept as they were started', async () => {
    expect(await start(orgId, 'Plans')).toEqual({
      id: expect.any(String),
      orgId,
      title: 'Plans',
      createdBy: 'ann',
      createdAt: expect.stringMatching(/^\d{4}-.*Z$/),
    })
  })

  test('are listed newest first, none twice and none missed', async () => {
    const ids: string[] = []
    for (let count = 0; count < 5; count += 1) ids.push((await start()).id)
    const pages = await readAll(async (after) => {
      const page = await conversations.list(orgId, { limit: 2, after })
      return { rows: page.conversations.map(({ id }) => id), nextCursor: page.nextCursor }
    })
    expect(pages.map((page) => page.length)).toEqual([2, 2, 1])
    expect(pages.flat()).toEqual(ids.toReversed())
  })

  test('with a title that cannot be stored are refused', async () => {
    await expect(start(orgId, 'a\0b')).rejects.toMatchObject({ details: [{ path: 'title' }] })
  })
})

describe('messages', () => {
  test('are listed newest first, none twice and none missed', async () => {
    const { id } = await start()
    await write(id, 'one', 'two', 'three')
    const pages = await readAll(async (after) => {
      const page = await conversations.messages(orgId, id, { limit: 2, after })
      return { rows: page.messages.map(({ content }) => content), nextCursor: page.nextCursor }
    })
    expect(pages).toEqual([['three', 'two'], ['one']])
  })

  test('of the latest are as many as are asked for', async () => {
    const { id } = await start()
    await write(id, 'one', 'two', 'three')
    const latest = await conversations.latest(orgId, id, 2)
    expect(latest.map(({ content }) => content)).toEqual(['three', 'two'])
  })

  test('are found by what they contain, in one conversation or in all of the org', async () => {
    const first = (await start()).id
    const second = (await start()).id
    await write(first, 'The Budget is 100%', 'a_b', 'back\\slash')
    await write(second, 'no budget, 100 x')
    const search = async (text: string, conversation: string | null = null, limit = 20) =>
      (await conversations.search(orgId, conversation, text, limit)).map(({ content }) => content)
    expect(await search('budget')).toEqual(['no budget, 100 x', 'The Budget is 100%'])
    expect(await search('budget', null, 1)).toEqual(['no budget, 100 x'])
    expect(await search('budget', first)).toEqual(['The Budget is 100%'])
    expect(await search('100%')).toEqual(['The Budget is 100%'])
    expect(await search('a_b')).toEqual(['a_b'])
    expect(await search('\\')).toEqual(['back\\slash'])
    expect(await search('%_%')).toEqual([])
    expect(await search('a\0b')).toEqual([])
    expect(await search('budget', 'a-conversation-of-the-host')).toEqual([])
  })
})

describe('of another org', () => {
  test('a conversation is not found, as one that is nowhere', async () => {
    const { id } = await start(await database.addOrg())
    for (const wanted of [id, NOWHERE]) {
      const gone = { code: 'NOT_FOUND', message: 'No such conversation.' }
      await expect(conversations.messages(orgId, wanted, FIRST)).rejects.toMatchObject(gone)
      await expect(conversations.latest(orgId, wanted, 10)).rejects.toMatchObject(gone)
      await expect(conversations.assertExists(orgId, wanted)).rejects.toMatchObject(gone)
    }
  })

  test('nothing is listed and nothing is found', async () => {
    const { id } = await start(await database.addOrg())
    await write(id, 'their secret plan')
    expect((await conversations.list(orgId, FIRST)).conversations).toEqual([])
    expect(await conversations.search(orgId, null, 'plan', 20)).toEqual([])
    expect(await conversations.search(orgId, id, 'plan', 20)).toEqual([])
  })
})
