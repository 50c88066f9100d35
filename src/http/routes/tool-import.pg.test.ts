import { afterAll, describe, expect, test } from 'vitest'
import { openTestApi } from '../../../test/fixtures/api.ts'
import { type Json, type Named, openImportOrg, pets } from '../../../test/fixtures/import-org.ts'

const api = await openTestApi()
afterAll(() => api[Symbol.asyncDispose]())
const openOrg = (credentials?: Json, userId?: string) => openImportOrg(api, credentials, userId)

async function rowsOf(orgId: string) {
  const { rows } = await api.database.pool.query(
    `select xmin::text, id, source from patchbay.external_tool_definitions where org_id = $1 order by id`,
    [orgId],
  )
  return rows
}

describe('an import', () => {
  test('says what became of each operation, and how to mend what could not be imported', async () => {
    const { load, tools, integration } = await openOrg()
    const { status, body } = await load({ openapi: pets() })
    expect(status).toBe(200)
    expect(body).toMatchObject({
      isDryRun: false,
      document: { title: 'Pets', version: '3.1.0', hash: expect.stringMatching(/^[0-9a-f]{64}$/) },
      imported: [
        {
          operation: 'GET /pets',
          operationId: 'pets.list',
          name: 'pets.list',
          wireName: 'pets_list',
          url: 'https://api.example.com/pets',
          isEnabled: true,
          approval: 'auto',
          warnings: [],
        },
        { operation: 'POST /pets', name: 'pets.add', isEnabled: false, approval: 'ask' },
      ],
      changed: [],
      unchanged: [],
      removed: [],
      skipped: [
        { operation: 'GET /pets/{id}', reason: expect.stringContaining(`PATCH ${integration} `) },
      ],
      credentials: [
        { name: 'apiKey', type: 'api key', isPresent: true },
        { name: 'login', type: 'basic', isPresent: false },
      ],
    })
    const [add] = await tools()
    expect(add).toMatchObject({
      name: 'pets.add',
      sourceKey: 'POST /pets',
      httpConfig: {
        headers: { 'X-Api-Key': '{{credentials.apiKey}}' },
        payload: { mediaType: 'application/json' },
      },
    })
  })

  test('that is dry says the same, and does nothing', async () => {
    const { load, orgId, token } = await openOrg()
    const dry = await load({ openapi: pets(), dryRun: true })
    expect(await rowsOf(orgId)).toEqual([])
    const audit = await api.call('GET', `/orgs/${orgId}/audit`, { token })
    expect(audit.text).not.toContain('tool.created')
    const real = await load({ openapi: pets() })
    const comparable = ({ imported, ...rest }: { imported: Named[] }) => ({
      ...rest,
      isDryRun: null,
      imported: imported.map((one) => ({ ...one, toolId: null })),
    })
    expect(comparable(dry.body)).toEqual(comparable(real.body))
    expect(dry.body.imported[0]).toMatchObject({ toolId: null, wireName: 'pets_list' })
  })

  test('takes the text of a document, in YAML too, and knows it again as JSON', async () => {
    const { load } = await openOrg()
    const yaml = `openapi: 3.0
info: { title: Y, version: "1" }
servers: [{ url: "https://api.example.com" }]
paths:
  /a: &shared
    get: { operationId: a }
  /b: *shared
`
    const first = await load({ openapi: yaml })
    expect(first.body.imported.map((one: Named) => one.name)).toEqual(['a', 'a_2'])
    const again = await load({
      openapi: JSON.stringify({
        openapi: 3.0,
        info: { title: 'Y', version: '1' },
        servers: [{ url: 'https://api.example.com' }],
        paths: { '/a': { get: { operationId: 'a' } }, '/b': { get: { operationId: 'a' } } },
      }),
    })
    expect(again.body).toMatchObject({ unchanged: [{ name: 'a' }, { name: 'a_2' }], imported: [] })
    expect(again.body.document.hash).toBe(first.body.document.hash)
  })

  test('of the operations that are picked touches no other', async () => {
    const { load, tools } = await openOrg()
    const operations = ['pets.list', 'POST /pets', 'no.such']
    const { body } = await load({ openapi: pets(), operations })
    expect(body.imported.map((one: Named) => one.operation)).toEqual(['GET /pets', 'POST /pets'])
    expect(body.skipped).toEqual([
      { operation: 'GET /pets/{id}', reason: 'is not among the operations that were picked' },
      { operation: 'no.such', reason: 'is no operation of the document' },
    ])
    const paths = { '/pets': { get: { operationId: 'pets.list', summary: 'Others' } } }
    const without = { ...pets(), paths }
    const next = await load({ openapi: without, operations: ['pets.list'] })
    expect(next.body).toMatchObject({ changed: [{ name: 'pets.list' }], removed: [] })
    expect(await tools()).toMatchObject([
      { name: 'pets.add' },
      { name: 'pets.list', description: 'Others' },
    ])
  })

  test('is of an integration of the org itself, and by who may', async () => {
    const mine = await openOrg()
    const other = await openOrg({}, 'somebody else')
    const path = mine.path.replace(mine.orgId, other.orgId)
    const json = { openapi: pets() }
    expect(await api.call('POST', `${path}/import`, { token: other.token, json })).toMatchObject({
      status: 404,
      body: { error: 'NOT_FOUND' },
    })
    expect(
      await api.call('POST', `${mine.path}/import`, { token: other.token, json }),
    ).toMatchObject({ status: 404 })
    expect(await api.call('POST', `${mine.path}/import`, { json })).toMatchObject({ status: 401 })
    expect(await mine.tools()).toEqual([])
  })

  test('refuses private hosts, each operation for itself', async () => {
    const { load } = await openOrg()
    const local = { '/l': { servers: [{ url: 'http://10.0.0.1' }], get: {} } }
    const { body } = await load({ openapi: pets(local) })
    expect(body.imported).toHaveLength(2)
    expect(body.skipped).toContainEqual({
      operation: 'GET /l',
      reason: 'cannot be called: its URL points to an address that is not public',
    })
  })

  test.each<[string, Json, string]>([
    ['no document', {}, 'openapi'],
    ['a number', { openapi: 5 }, 'openapi'],
    ['half a document', { openapi: '{"openapi":' }, 'openapi'],
    ['a document of nothing', { openapi: {} }, 'openapi'],
    ['a document without paths', { openapi: { ...pets(), paths: null } }, 'openapi'],
    ['a base of no scheme', { openapi: pets(), baseUrl: 'api.example.com' }, 'baseUrl'],
    ['a private base', { openapi: pets(), baseUrl: 'http://10.0.0.1/' }, 'baseUrl'],
    [
      'a base with a placeholder',
      { openapi: pets(), baseUrl: 'https://x.example.com/{{credentials.apiKey}}' },
      'baseUrl',
    ],
    ['operations that are none', { openapi: pets(), operations: [1] }, 'operations.0'],
    ['something unknown', { openapi: pets(), force: true }, ''],
  ])('with %s is refused with its field', async (_, json, path) => {
    const { load } = await openOrg()
    expect(await load(json)).toMatchObject({
      status: 400,
      body: { error: 'INVALID_BODY', details: [expect.objectContaining({ path })] },
    })
  })
})
