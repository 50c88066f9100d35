import { afterAll, describe, expect, test } from 'vitest'
import { openTestApi } from '../../../test/fixtures/api.ts'
import { type Json, type Named, openImportOrg, pets } from '../../../test/fixtures/import-org.ts'

const api = await openTestApi()
afterAll(() => api[Symbol.asyncDispose]())
const openOrg = () => openImportOrg(api)

async function rowsOf(orgId: string) {
  const { rows } = await api.database.pool.query(
    `select xmin::text, id, source from patchbay.external_tool_definitions where org_id = $1 order by id`,
    [orgId],
  )
  return rows
}

describe('a document that comes again', () => {
  test('changes nothing, and writes nothing, where it is the same', async () => {
    const { load, orgId, token } = await openOrg()
    await load({ openapi: pets() })
    const before = await rowsOf(orgId)
    const audit = () => api.call('GET', `/orgs/${orgId}/audit`, { token })
    const audited = (await audit()).text
    const { body } = await load({ openapi: pets() })
    expect(body).toMatchObject({ imported: [], changed: [], removed: [] })
    expect(body.unchanged).toMatchObject([{ operation: 'GET /pets' }, { operation: 'POST /pets' }])
    expect(await rowsOf(orgId)).toEqual(before)
    expect((await audit()).text).toBe(audited)
  })

  test('keeps ids, names and what a person has changed', async () => {
    const { load, tools, patch } = await openOrg()
    const { body } = await load({ openapi: pets() })
    const [list, add] = body.imported.map((one: Named) => one.toolId)
    await patch(list, { name: 'zoo', description: 'Mine' })
    const own = (await tools()).find((one: { id: string }) => one.id === add)
    const httpConfig = { ...own.httpConfig, timeoutMs: 2500 }
    await patch(add, { isEnabled: true, rateLimit: { perMinute: 3 }, httpConfig })
    const next = pets({ '/new': { get: { operationId: 'new' } } }, 'https://v2.example.com')
    next.paths['/pets'].get = { operationId: 'pets.all', summary: 'Lists all pets' }
    const done = await load({ openapi: next, baseUrl: 'https://v2.example.com' })
    expect(done.body).toMatchObject({
      imported: [{ name: 'new' }],
      changed: [
        { toolId: list, name: 'zoo', fields: ['description', 'httpConfig'], kept: ['description'] },
        {
          toolId: add,
          name: 'pets.add',
          fields: ['httpConfig'],
          kept: ['httpConfig', 'isEnabled'],
        },
      ],
    })
    expect(await tools()).toMatchObject([
      { name: 'new' },
      {
        id: add,
        wireName: 'pets_add',
        isEnabled: true,
        approval: 'ask',
        rateLimit: { perMinute: 3 },
        httpConfig: { url: 'https://v2.example.com/pets', timeoutMs: 2500 },
      },
      {
        id: list,
        name: 'zoo',
        wireName: 'zoo',
        description: 'Mine',
        httpConfig: { url: 'https://v2.example.com/pets' },
      },
    ])
  })

  test('has no credential go to another host, unless who imports it says so', async () => {
    const { load, tools } = await openOrg()
    await load({ openapi: pets() })
    const added = { '/mine': { post: { operationId: 'mine', security: [{ apiKey: [] }] } } }
    const moved = pets(added, 'https://api.example.net')
    const { body } = await load({ openapi: moved })
    const reason = expect.stringContaining(
      'has its credentials go to https://api.example.net now, and so far they went to https://api.example.com: say so with baseUrl',
    )
    expect(body.skipped).toEqual([
      { operation: 'POST /pets', reason },
      { operation: 'GET /pets/{id}', reason: expect.stringContaining('"login"') },
      { operation: 'POST /mine', reason },
    ])
    expect(body.changed).toMatchObject([
      { operation: 'GET /pets', url: 'https://api.example.net/pets' },
    ])
    const urls = async () =>
      Object.fromEntries(
        (await tools()).map(({ name, httpConfig }: { name: string; httpConfig: Json }) => [
          name,
          httpConfig.url,
        ]),
      )
    expect(await urls()).toMatchObject({ 'pets.add': 'https://api.example.com/pets' })
    await load({ openapi: moved, baseUrl: 'https://api.example.net' })
    expect(await urls()).toEqual({
      'pets.list': 'https://api.example.net/pets',
      'pets.add': 'https://api.example.net/pets',
      mine: 'https://api.example.net/mine',
    })
  })

  test('disables what is gone, and has it back as it was', async () => {
    const { load, tools, patch } = await openOrg()
    const { body } = await load({ openapi: pets() })
    const [list, add] = body.imported
    await patch(add.toolId, { isEnabled: true })
    const without = { ...pets(), paths: {} }
    const gone = await load({ openapi: without })
    expect(gone.body.removed).toEqual([
      { operation: 'GET /pets', toolId: list.toolId, name: 'pets.list' },
      { operation: 'POST /pets', toolId: add.toolId, name: 'pets.add' },
    ])
    expect(await tools()).toMatchObject([{ isEnabled: false }, { isEnabled: false }])
    expect((await load({ openapi: without })).body).toMatchObject({ removed: [], unchanged: [] })
    const back = await load({ openapi: pets() })
    expect(back.body.changed).toMatchObject([{ toolId: list.toolId }, { toolId: add.toolId }])
    expect(await tools()).toMatchObject([
      { id: add.toolId, isEnabled: true },
      { id: list.toolId, isEnabled: true },
    ])
    expect((await load({ openapi: pets() })).body.unchanged).toHaveLength(2)
  })

  test('twice at once makes each tool once', async () => {
    const { load, tools } = await openOrg()
    const answers = await Promise.all([load({ openapi: pets() }), load({ openapi: pets() })])
    const counts = answers.map(({ body }) => `${body.imported.length} ${body.unchanged.length}`)
    expect(counts.toSorted()).toEqual(['0 2', '2 0'])
    expect(await tools()).toHaveLength(2)
  })

  test('leaves alone what somebody defined by hand, and finds other names beside it', async () => {
    const { load, path, token } = await openOrg()
    const json = {
      name: 'PETS.list',
      description: 'By hand',
      argsSchema: { type: 'object' },
      httpConfig: { method: 'GET', url: 'https://api.example.com/pets' },
    }
    await api.call('POST', path, { token, json })
    const { body } = await load({ openapi: pets() })
    expect(body.imported[0]).toMatchObject({
      name: 'pets.list_2',
      wireName: 'pets_list_2',
      warnings: ['there is a tool named pets.list, so this one is pets.list_2'],
    })
    const gone = await load({ openapi: { ...pets(), paths: {} } })
    expect(gone.body.removed).toHaveLength(2)
  })
})
