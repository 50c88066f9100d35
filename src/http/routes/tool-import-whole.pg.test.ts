import { afterAll, describe, expect, test } from 'vitest'
import { openTestApi } from '../../../test/fixtures/api.ts'
import { type Json, openImportOrg, pets } from '../../../test/fixtures/import-org.ts'
import { openReceiver } from '../../../test/fixtures/receiver.ts'

const api = await openTestApi({ TOOLS_PER_ORG: '40' })
const endpoint = await openReceiver((response) => response.end('{"ok":true}'))
afterAll(async () => {
  await endpoint[Symbol.asyncDispose]()
  await api[Symbol.asyncDispose]()
})

const openOrg = (credentials?: Json) => openImportOrg(api, credentials)

describe('a document of five hundred operations', () => {
  const many = {
    ...pets(),
    paths: Object.fromEntries(
      Array.from({ length: 500 }, (_, at) => [
        `/things${at}/{id}`,
        {
          [at % 2 === 0 ? 'get' : 'post']: {
            operationId: `thing${at}`,
            description: 'x'.repeat(3000),
          },
        },
      ]),
    ),
  }

  test('fills the room that the org has, and says so of the rest, while other requests go on', async () => {
    const { load, tools, orgId, token } = await openOrg()
    const loading = load({ openapi: many })
    let answered = 0
    while (
      (await Promise.race([
        loading,
        api.call('GET', `/orgs/${orgId}`, { token }).then(() => null),
      ])) === null
    ) {
      answered += 1
    }
    const { status, body } = await loading
    expect(status).toBe(200)
    expect(answered).toBeGreaterThan(3)
    expect(body.imported).toHaveLength(40)
    expect(body.skipped).toHaveLength(460)
    expect(body.skipped[0]).toEqual({
      operation: 'GET /things40/{id}',
      reason: 'The org has 40 tools, and may have no more (TOOLS_PER_ORG).',
    })
    expect(await tools()).toHaveLength(40)
  })

  test('may be larger than other bodies, up to 5 MiB', async () => {
    const { load, path, token } = await openOrg()
    const openapi = { ...pets(), 'x-note': 'x'.repeat(4 * 1024 * 1024) }
    expect(await load({ openapi, dryRun: true })).toMatchObject({ status: 200 })
    const note = 'x'.repeat(5 * 1024 * 1024)
    expect(await load({ openapi: note })).toMatchObject({
      status: 413,
      body: { detail: 'The body is over 5 MiB.' },
    })
    expect(await api.call('POST', path, { token, json: { openapi } })).toMatchObject({
      status: 413,
    })
  })
})

describe('an imported tool', () => {
  test('sends each argument where the document says, byte by byte', async () => {
    const { load, patch, run } = await openOrg({ key: 'k-very-secret', login: 'ann:pass word' })
    const string = { type: 'string' }
    const schemas = { Address: { type: 'object', properties: { street: string } } }
    const openapi = {
      openapi: '3.0.3',
      info: { title: 'Shop', version: '1' },
      servers: [{ url: `${endpoint.url}/v1` }],
      security: [{ login: [] }],
      paths: {
        '/shops/{shop}/orders{;flags}': {
          parameters: [
            { name: 'shop', in: 'path', required: true, schema: string },
            { name: 'X-Trace', in: 'header', schema: string },
            { name: 'lang', in: 'cookie', schema: string },
          ],
          get: {
            operationId: 'findOrders',
            security: [{ key: [] }],
            parameters: [
              {
                name: 'filter',
                in: 'query',
                style: 'deepObject',
                explode: true,
                schema: { type: 'object', properties: { state: string } },
              },
              {
                name: 'tags',
                in: 'query',
                explode: false,
                schema: { type: 'array', items: string },
              },
            ],
          },
          post: {
            operationId: 'addOrder',
            requestBody: {
              required: true,
              content: {
                'application/x-www-form-urlencoded': {
                  schema: {
                    type: 'object',
                    properties: {
                      items: { type: 'array', items: string },
                      to: { $ref: '#/components/schemas/Address' },
                    },
                  },
                  encoding: { to: { style: 'deepObject', explode: true } },
                },
              },
            },
          },
          patch: {
            operationId: 'mendOrder',
            requestBody: {
              required: true,
              content: {
                'application/merge-patch+json': {
                  schema: { type: 'object', properties: { shop: string, note: string } },
                },
              },
            },
          },
        },
      },
      components: {
        schemas,
        securitySchemes: {
          key: { type: 'apiKey', in: 'query', name: 'key' },
          login: { type: 'http', scheme: 'basic' },
        },
      },
    }
    const text = JSON.stringify(openapi).replaceAll('{;flags}', '')
    const { body } = await load({ openapi: text })
    expect(body.skipped).toEqual([])
    for (const { toolId } of body.imported)
      await patch(toolId, { isEnabled: true, approval: 'auto' })

    const found = await run('findOrders', {
      shop: '../a b',
      'X-Trace': 't-1',
      lang: 'd;e',
      filter: { state: 'open&paid' },
      tags: ['x', 'y,z'],
    })
    expect(found).toMatchObject({ status: 200, body: { result: { ok: true } } })
    await run('addOrder', { shop: 'a', items: ['p q', 'r'], to: { street: 'Hauptstraße 1' } })
    await run('mendOrder', { shop: 'a', body: { shop: 'b', note: 'ä' } })
    const basic = `Basic ${Buffer.from('ann:pass word').toString('base64')}`
    expect(endpoint.requests).toMatchObject([
      {
        method: 'GET',
        url: '/v1/shops/..%2Fa%20b/orders?key=k-very-secret&filter%5Bstate%5D=open%26paid&tags=x,y%2Cz',
        headers: { 'x-trace': 't-1', cookie: 'lang=d%3Be' },
        body: '',
      },
      {
        method: 'POST',
        url: '/v1/shops/a/orders',
        headers: { 'content-type': 'application/x-www-form-urlencoded', authorization: basic },
        body: 'items=p%20q&items=r&to%5Bstreet%5D=Hauptstra%C3%9Fe%201',
      },
      {
        method: 'PATCH',
        url: '/v1/shops/a/orders',
        headers: { 'content-type': 'application/merge-patch+json' },
        body: '{"shop":"b","note":"ä"}',
      },
    ])
    const wrong = await run('findOrders', { shop: 'a', key: 'mine' })
    expect(wrong).toMatchObject({ status: 400, body: { details: [{ path: 'args.key' }] } })
  })
})
