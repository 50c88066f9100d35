import { describe, expect, test } from 'vitest'
import {
  document,
  type Json,
  json,
  parameter,
  planOf,
  ref,
  sending,
  toolOf,
  verdictsOf,
  warningsOf,
} from '../../../test/fixtures/openapi-plan.ts'

describe('an imported document', () => {
  test('1: of version 2.0 or 3.0 is read as 3.1', () => {
    const tool = toolOf(
      planOf(
        document(
          {
            '/pets': {
              post: sending({
                type: 'object',
                properties: {
                  age: { type: 'integer', minimum: 0, exclusiveMinimum: true, nullable: true },
                  tag: { type: 'string', example: 'x', format: 'byte' },
                  owner: { ...ref('Owner'), nullable: true },
                },
              }),
            },
          },
          { components: { schemas: { Owner: { type: 'object', properties: {} } } } },
        ),
      ),
      'POST /pets',
    )
    expect(tool.argsSchema.properties).toEqual({
      age: { type: ['integer', 'null'], exclusiveMinimum: 0 },
      tag: { type: 'string', examples: ['x'], contentEncoding: 'base64' },
      owner: { anyOf: [{ $ref: '#/$defs/Owner' }, { type: 'null' }] },
    })
    const swagger = planOf({
      swagger: '2.0',
      info: { title: 'Pets', version: '1' },
      host: 'api.example.com',
      basePath: '/v2',
      schemes: ['http', 'https'],
      consumes: ['application/json'],
      paths: {
        '/pets/{id}': {
          put: { parameters: [{ in: 'body', name: 'pet', schema: { $ref: '#/definitions/Pet' } }] },
          // Stands behind the operation, and is for it all the same.
          parameters: [{ in: 'path', name: 'id', required: true, type: 'integer' }],
        },
      },
      definitions: { Pet: { type: 'object', properties: { name: { type: 'string' } } } },
    })
    expect(toolOf(swagger, 'PUT /pets/{id}')).toMatchObject({
      argsSchema: { properties: { id: { type: 'integer' }, name: { type: 'string' } } },
      httpConfig: { url: 'https://api.example.com/v2/pets/{args.id}' },
    })
  })

  test('2: has references anywhere, and cycles of them', () => {
    const plan = planOf(
      document(
        { '/nodes/{id}': { $ref: '#/components/pathItems/Node' } },
        {
          components: {
            pathItems: {
              Node: {
                parameters: [{ $ref: '#/components/parameters/Id' }],
                put: {
                  requestBody: { $ref: '#/components/requestBodies/Node' },
                  responses: { 200: { $ref: '#/components/responses/Node' } },
                },
              },
            },
            parameters: { Id: parameter('path', 'id', { schema: ref('Id') }) },
            requestBodies: { Node: { required: true, ...json(ref('Node')) } },
            responses: { Node: { description: '', ...json(ref('Node')) } },
            schemas: {
              Id: { type: 'string', minLength: 3 },
              Node: {
                type: 'object',
                properties: {
                  parent: ref('Node'),
                  children: { type: 'array', items: ref('Node') },
                  first: { $ref: '#/components/schemas/Node/properties/children/items' },
                },
              },
            },
          },
        },
      ),
    )
    const { argsSchema, outputSchema } = toolOf(plan, 'PUT /nodes/{id}')
    const node = {
      parent: { $ref: '#/$defs/Node' },
      children: { type: 'array', items: { $ref: '#/$defs/Node' } },
      first: { $ref: '#/$defs/Node' },
    }
    expect(argsSchema).toMatchObject({
      properties: { id: { type: 'string', minLength: 3 }, ...node },
      $defs: { Node: { properties: node } },
    })
    expect(outputSchema).toMatchObject({ properties: node, $defs: { Node: { properties: node } } })
  })

  test('3: is never read beyond itself', () => {
    const plan = planOf(
      document({
        '/a': { post: sending({ $ref: 'https://evil.example.com/schema.json' }) },
        '/b': { post: sending({ $ref: './other.yaml#/Pet' }) },
        '/c': { $ref: 'file:///etc/passwd' },
        '/d': { get: { parameters: [{ $ref: '#/components/parameters/none' }] } },
        '/e': { get: { parameters: [{ $ref: '#/paths/~1e/get/parameters/0' }] } },
        '/f': { get: {} },
      }),
    )
    expect(verdictsOf(plan)).toMatchObject({
      'POST /a': expect.stringContaining('outside of the document'),
      'POST /b': expect.stringContaining('outside of the document'),
      '/c': expect.stringContaining('outside of the document'),
      'GET /d': expect.stringContaining('does not have'),
      'GET /e': expect.stringContaining('refers back to itself'),
      'GET /f': { name: 'get_f' },
    })
  })

  test('4: has parameters of a path, which an operation may replace', () => {
    const { argsSchema } = toolOf(
      planOf(
        document({
          '/pets/{id}': {
            summary: 'One pet',
            servers: [],
            parameters: [
              parameter('path', 'id'),
              parameter('query', 'view', { schema: { type: 'string' } }),
            ],
            get: {
              parameters: [
                parameter('query', 'view', { required: true, schema: { type: 'integer' } }),
              ],
            },
          },
        }),
      ),
      'GET /pets/{id}',
    )
    expect(argsSchema).toEqual({
      type: 'object',
      properties: { id: { type: 'string' }, view: { type: 'integer' } },
      required: ['id', 'view'],
      additionalProperties: false,
    })
  })

  test('5: has the same name in path, query and body, and none gets lost', () => {
    const { argsSchema, httpConfig } = toolOf(
      planOf(
        document({
          '/pets/{id}': {
            put: sending(
              { type: 'object', properties: { id: { type: 'integer' }, name: { type: 'string' } } },
              { parameters: [parameter('query', 'id'), parameter('path', 'id')] },
            ),
          },
        }),
      ),
      'PUT /pets/{id}',
    )
    expect(argsSchema).toMatchObject({
      properties: {
        id: { type: 'string' },
        id_query: { type: 'string' },
        body: { properties: { id: { type: 'integer' }, name: { type: 'string' } } },
      },
      required: ['id', 'body'],
    })
    expect(httpConfig).toMatchObject({
      url: 'https://api.example.com/v1/pets/{args.id}',
      parameters: [
        { arg: 'id', in: 'path', name: 'id' },
        { arg: 'id_query', in: 'query', name: 'id' },
      ],
      payload: { mediaType: 'application/json', arg: 'body' },
    })
  })

  test.each<[string, Json]>([
    ['a list', { type: 'array', items: { type: 'string' } }],
    ['a text', { type: 'string' }],
    ['a choice', { oneOf: [{ type: 'object', properties: { a: {} } }, { type: 'string' }] }],
    ['a composition', { allOf: [{ type: 'object', properties: { a: {} } }] }],
    ['an object of any members', { type: 'object', additionalProperties: { type: 'string' } }],
    ['an object with odd names', { type: 'object', properties: { 'a b[]': { type: 'string' } } }],
  ])('6: has a body that is %s, which is one argument', (_, schema) => {
    const { argsSchema, httpConfig } = toolOf(
      planOf(document({ '/x': { post: sending(schema) } })),
      'POST /x',
    )
    expect(argsSchema).toMatchObject({ properties: { body: schema }, required: ['body'] })
    expect(httpConfig.payload).toEqual({ mediaType: 'application/json', arg: 'body' })
  })

  test('7: has bodies of several media types, the best of which is sent', () => {
    const fields = {
      schema: {
        type: 'object',
        properties: { a: { type: 'string' }, f: { type: 'string', format: 'binary' } },
      },
    }
    const content = (types: Json, required = true) => ({
      post: { requestBody: { required, content: types } },
    })
    const file = { schema: { ...fields.schema, required: ['f'] } }
    const plan = planOf(
      document({
        '/best': content({
          'text/plain': {},
          'multipart/form-data': fields,
          'application/json; charset=utf-8': fields,
        }),
        '/named': content({ 'application/xml': fields, 'application/vnd.api+json': fields }),
        '/form': content({
          'multipart/form-data': fields,
          'application/x-www-form-urlencoded': fields,
        }),
        '/text': content({ 'text/plain': { schema: { type: 'string' } } }),
        '/parts': content({ 'multipart/form-data': fields }),
        '/file': content({ 'multipart/form-data': file }),
        '/xml': content({ 'application/xml': fields }),
        '/maybe': content({ 'application/octet-stream': {} }, false),
      }),
    )
    const types = plan.verdicts.map((verdict) =>
      verdict.kind === 'tool'
        ? (verdict.tool.httpConfig.payload?.mediaType ?? 'none')
        : verdict.reason,
    )
    expect(types).toEqual([
      'application/json',
      'application/vnd.api+json',
      'application/x-www-form-urlencoded',
      'text/plain',
      'multipart/form-data',
      'takes a file (f), which tools cannot send',
      'has a body of application/xml: only JSON, forms and plain text are sent',
      'none',
    ])
    expect(warningsOf(plan, 'POST /parts')).toEqual(['files cannot be sent: f left out'])
    expect(toolOf(plan, 'POST /parts').argsSchema.properties).toEqual({ a: { type: 'string' } })
    expect(warningsOf(plan, 'POST /maybe')[0]).toContain('it is not required, and is left out')
  })

  test('8: says how parameters are written', () => {
    const { httpConfig, argsSchema } = toolOf(
      planOf(
        document({
          '/a b/{ids}/x?fixed=1': {
            get: {
              parameters: [
                parameter('path', 'ids', { style: 'matrix', explode: true }),
                parameter('query', 'filter[state]', { style: 'deepObject', explode: true }),
                parameter('query', 'tags', { style: 'form', explode: false }),
                parameter('query', 'sort', { style: 'form', explode: true, allowReserved: true }),
                parameter('query', 'where', { schema: undefined, ...json({ type: 'object' }) }),
                parameter('header', 'X-Ids', { style: 'deepObject' }),
                parameter('cookie', 'lang'),
              ],
            },
          },
        }),
      ),
      'GET /a b/{ids}/x?fixed=1',
    )
    expect(httpConfig.url).toBe('https://api.example.com/v1/a%20b/{args.ids}/x?fixed=1')
    expect(httpConfig.parameters).toEqual([
      { arg: 'ids', in: 'path', name: 'ids', style: 'matrix', explode: true },
      {
        arg: 'filter_state',
        in: 'query',
        name: 'filter[state]',
        style: 'deepObject',
        explode: true,
      },
      { arg: 'tags', in: 'query', name: 'tags', explode: false },
      { arg: 'sort', in: 'query', name: 'sort', allowReserved: true },
      { arg: 'where', in: 'query', name: 'where', json: true },
      { arg: 'X-Ids', in: 'header', name: 'X-Ids' },
      { arg: 'lang', in: 'cookie', name: 'lang' },
    ])
    expect(argsSchema.properties).toMatchObject({ where: { type: 'object' } })
  })

  test('9: has servers that are relative, variable, of one operation, or nowhere', () => {
    const url = (servers: unknown, baseUrl?: string, own: Json = {}) => {
      const given = document({ '/x': { get: own } }, { servers })
      const verdict = verdictsOf(planOf(given, baseUrl === undefined ? {} : { baseUrl }))['GET /x']
      return typeof verdict === 'object' ? verdict.httpConfig.url : verdict
    }
    const variables = { region: { default: 'eu' }, v: { default: 2 } }
    expect(url([{ url: 'https://{region}.example.com/v{v}/', variables }])).toBe(
      'https://eu.example.com/v2/x',
    )
    expect(url([{ url: '/v1' }])).toContain('give baseUrl')
    expect(url(undefined)).toContain('give baseUrl')
    expect(url([{ url: '/v1' }], 'https://my.example.com/api/')).toBe(
      'https://my.example.com/api/x',
    )
    expect(url([{ url: 'https://a.example.com' }], 'https://b.example.com')).toBe(
      'https://b.example.com/x',
    )
    const own = { servers: [{ url: 'https://files.example.com' }] }
    expect(url([{ url: 'https://a.example.com' }], 'https://b.example.com', own)).toBe(
      'https://files.example.com/x',
    )
    // Any host may stand there, and nobody but the org says who gets its credentials.
    const secret = {
      security: [{ token: [] }],
      components: { securitySchemes: { token: { type: 'http', scheme: 'bearer' } } },
    }
    const withToken = (servers: unknown, of: Json, given: { baseUrl?: string } = {}) => {
      const plan = planOf(document({ '/x': of }, { servers, ...secret }), {
        credentials: ['token'],
        ...given,
      })
      const verdict = verdictsOf(plan)['GET /x']
      return typeof verdict === 'object' ? verdict.httpConfig.url : verdict
    }
    const home = [{ url: 'https://a.example.com/v1' }]
    const files = 'https://files.example.com'
    expect(withToken(home, { get: own })).toBe(
      `needs credentials, which go to https://a.example.com alone, and has a server of its own, ${files}: to send them there import it by itself, with { "baseUrl": "${files}", "operations": ["GET /x"] }`,
    )
    expect(withToken(home, { ...own, get: {} })).toContain('go to https://a.example.com alone')
    expect(withToken([{ url: '/v1' }], { get: own })).toContain('no host that anybody has named')
    for (const url of ['https://a.example.com:8443', 'http://a.example.com']) {
      expect(withToken(home, { get: { servers: [{ url }] } })).toContain('alone')
    }
    const elsewhere = { baseUrl: 'https://b.example.com' }
    expect(withToken(home, { get: own }, elsewhere)).toContain('go to https://b.example.com alone')
    expect(withToken(home, { get: own }, { baseUrl: files })).toBe(`${files}/x`)
    expect(withToken(home, { get: { ...own, security: [] } })).toBe(`${files}/x`)
    expect(withToken(home, { get: { servers: [{ url: 'https://a.example.com/v2' }] } })).toBe(
      'https://a.example.com/v2/x',
    )
    // What looks like a placeholder of ours would take a credential there.
    expect(url([{ url: 'https://evil.example.com/{{credentials.token}}' }])).toContain('variable')
    expect(
      url([
        { url: 'https://e.example.com/{a}', variables: { a: { default: '{{credentials.t}}' } } },
      ]),
    ).toContain('variable')
  })
})
