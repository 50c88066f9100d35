import { afterAll, describe, expect, test } from 'vitest'
import { addMember, openTestApi } from '../../../test/fixtures/api.ts'

const api = await openTestApi()
afterAll(async () => {
  await api[Symbol.asyncDispose]()
})
const { orgId, token } = await api.addOrgOf('me')
const path = `/orgs/${orgId}/tool-runs`
const get = (at: string) => api.call('GET', `${path}${at}`, { token })

async function run(args: object = {}): Promise<string> {
  const at = `/orgs/${orgId}/tools/clock.now/execute`
  const { body } = await api.call('POST', at, { token, json: { args, conversationId: 'c1' } })
  return body.runId
}

describe('the record of runs', () => {
  test('shows what ran, newest first, and one run with its arguments and result', async () => {
    const first = await run()
    const second = await run({ timeZone: 'Europe/Zurich' })
    const listed = await get('?conversationId=c1')
    expect(listed).toMatchObject({
      status: 200,
      body: {
        toolRuns: [
          { id: second, tool: 'clock.now', outcome: 'success', source: 'api', userId: 'me' },
          { id: first },
        ],
        nextCursor: null,
      },
    })
    const [newest] = listed.body.toolRuns
    expect(newest).not.toHaveProperty('arguments')
    expect(newest).not.toHaveProperty('result')
    const { body } = await get(`/${second}`)
    expect(body.toolRun).toMatchObject({
      ...newest,
      arguments: { timeZone: 'Europe/Zurich' },
      resultIsCut: false,
    })
    expect(body.toolRun.result).toEqual(expect.anything())
  })

  test('goes from page to page by its cursor', async () => {
    const ids = [await run(), await run(), await run()].toReversed()
    const first = await get('?limit=2')
    const next = await get(`?limit=2&cursor=${first.body.nextCursor}`)
    const seen = [...first.body.toolRuns, ...next.body.toolRuns].map((row) => row.id)
    expect(seen.slice(0, 3)).toEqual(ids)
    expect(new Set(seen).size).toBe(seen.length)
  })

  test('knows the tool by its wire name, whatever the case of its name', async () => {
    const id = await run()
    expect((await get('?tool=clock_now&limit=1')).body.toolRuns).toMatchObject([{ id }])
    expect((await get('?tool=Clock.Now&limit=1')).body.toolRuns).toMatchObject([{ id }])
    expect((await get('?tool=no.such.tool')).body.toolRuns).toEqual([])
  })

  test.each([
    ['outcome=failed', 'outcome'],
    ['tool=', 'tool'],
    ['conversationId=', 'conversationId'],
    ['since=yesterday', 'since'],
    ['limit=101', 'limit'],
    ['cursor=x', 'cursor'],
  ])('refuses %s by name', async (query, field) => {
    expect(await get(`?${query}`)).toMatchObject({
      status: 400,
      body: { error: 'INVALID_QUERY', details: [{ path: field }] },
    })
  })

  test('is not for members, and shows no run of another org', async () => {
    await addMember(api.database, orgId, 'member', 'member')
    const member = await api.token('member')
    expect(await api.call('GET', path, { token: member })).toMatchObject({ status: 403 })
    const id = await run()
    const other = await api.addOrgOf('they')
    const theirs = `/orgs/${other.orgId}/tool-runs`
    expect((await api.call('GET', theirs, { token: other.token })).body.toolRuns).toEqual([])
    const one = await api.call('GET', `${theirs}/${id}`, { token: other.token })
    expect(one).toMatchObject({ status: 404 })
  })
})
