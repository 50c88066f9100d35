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
import { readDocument } from './read-document.ts'

describe('an imported document', () => {
  test('10: has security schemes, which are credentials and never arguments', () => {
    const securitySchemes = {
      'api-key': { type: 'apiKey', in: 'header', name: 'X-Key' },
      query: { type: 'apiKey', in: 'query', name: 'token' },
      cookie: { type: 'apiKey', in: 'cookie', name: 'sid' },
      bearer: { type: 'http', scheme: 'Bearer', description: 'From the <b>console</b>.' },
      basic: { type: 'http', scheme: 'basic' },
      oauth: { type: 'oauth2', flows: { clientCredentials: { scopes: { read: '', write: '' } } } },
      oidc: { type: 'openIdConnect', openIdConnectUrl: 'https://id.example.com' },
      digest: { type: 'http', scheme: 'digest' },
      tls: { type: 'mutualTLS' },
    }
    const secured = (...security: Json[]) => ({
      get: { security, parameters: [parameter('header', 'x-key'), parameter('query', 'token')] },
    })
    const given = document(
      {
        '/header': { get: { parameters: [parameter('header', 'x-key')] } },
        '/query': secured({ query: [] }),
        '/cookie': secured({ cookie: [] }),
        '/bearer': secured({ bearer: [] }),
        '/basic': secured({ basic: [] }),
        '/oauth': secured({ oauth: ['read'] }),
        '/oidc': secured({ oidc: [] }),
        '/both': secured({ bearer: [], query: [] }),
        '/either': secured({ digest: [] }, { oauth: [] }, { basic: [] }),
        '/maybe': secured({}, { oauth: [] }),
        '/public': secured(),
        '/digest': secured({ digest: [] }),
        '/tls': secured({ tls: [] }),
        '/unknown': secured({ nowhere: [] }),
      },
      { security: [{ 'api-key': [] }], components: { securitySchemes } },
    )
    const plan = planOf(given, {
      credentials: ['api_key', 'query', 'cookie', 'bearer', 'basic', 'oidc'],
    })
    const sent = plan.verdicts.map((verdict) => {
      if (verdict.kind === 'skipped') return verdict.reason
      expect(verdict.tool.argsSchema.properties).toEqual({})
      return { ...verdict.tool.httpConfig.headers, ...verdict.tool.httpConfig.query }
    })
    expect(sent).toEqual([
      { 'X-Key': '{{credentials.api_key}}' },
      { token: '{{credentials.query}}' },
      { Cookie: 'sid={{credentials.cookie}}' },
      { Authorization: 'Bearer {{credentials.bearer}}' },
      { Authorization: 'Basic {{credentials.basic|base64}}' },
      expect.stringMatching(
        /^needs the credential "oauth": .*scopes read, write.* PATCH \/orgs\/acme\/integrations\/1 \{ "credentials": \{ "oauth": "…" \} \}, together with those that the integration has already/,
      ),
      { Authorization: 'Bearer {{credentials.oidc}}' },
      { Authorization: 'Bearer {{credentials.bearer}}', token: '{{credentials.query}}' },
      { Authorization: 'Basic {{credentials.basic|base64}}' },
      {},
      {},
      "needs HTTP's digest authentication, which is not understood",
      expect.stringContaining('mutualTLS'),
      'needs the security scheme nowhere, which the document does not define',
    ])
    expect(plan.credentials).toContainEqual({
      name: 'bearer',
      type: 'bearer token',
      description: 'A bearer token, without the word Bearer. From the console.',
      isPresent: true,
    })
    expect(plan.credentials).toContainEqual(
      expect.objectContaining({ name: 'oauth', type: 'access token', isPresent: false }),
    )
  })

  test('11: has members that only one side sets', () => {
    const schemas = {
      Pet: {
        type: 'object',
        required: ['id', 'name', 'pin'],
        properties: {
          id: { type: 'string', readOnly: true },
          name: { type: 'string' },
          pin: ref('Pin'),
          nested: {
            type: 'object',
            properties: { id: { readOnly: true }, pin: { writeOnly: true } },
          },
        },
      },
      Pin: { type: 'string', writeOnly: true },
    }
    const responses = { 201: { description: '', ...json(ref('Pet')) } }
    const { argsSchema, outputSchema } = toolOf(
      planOf(
        document(
          { '/pets': { post: sending(ref('Pet'), { responses }) } },
          { components: { schemas } },
        ),
      ),
      'POST /pets',
    )
    expect(argsSchema).toMatchObject({ required: ['name', 'pin'] })
    expect(Object.keys(Object(argsSchema.properties))).toEqual(['name', 'pin', 'nested'])
    expect(argsSchema.properties).toMatchObject({ nested: { properties: { pin: {} } } })
    expect(outputSchema).toMatchObject({ required: ['id', 'name'] })
    expect(Object.keys(Object(outputSchema?.properties))).toEqual(['id', 'name', 'nested'])
  })

  test('12: has headers that are not its business', () => {
    const headers = [
      'Accept',
      'content-type',
      'Authorization',
      'Idempotency-Key',
      'User-Agent',
      'X-Forwarded-For',
      'X-Own',
    ]
    const parameters = headers.map((name) => parameter('header', name))
    const responses = {
      200: { description: '', content: { 'application/vnd.x+json': { schema: {} } } },
    }
    const plan = planOf(
      document({
        '/x': { post: { parameters, responses } },
        '/y': {
          get: {
            parameters: [
              parameter('header', 'Host', { required: true }),
              parameter('header', 'X-Amz-Date', { required: true }),
            ],
          },
        },
      }),
    )
    expect(toolOf(plan, 'POST /x')).toMatchObject({
      argsSchema: { properties: { 'X-Own': { type: 'string' } } },
      httpConfig: {
        headers: { Accept: 'application/vnd.x+json' },
        isIdempotent: true,
        body: 'none',
      },
    })
    expect(warningsOf(plan, 'POST /x')).toEqual([expect.stringContaining('X-Forwarded-For')])
    expect(verdictsOf(plan)['GET /y']).toContain('requires the header X-Amz-Date')
  })

  test('13: names operations badly, twice, or not at all', () => {
    const long = `a${'b'.repeat(200)}`
    const names = planOf(
      document({
        '/a': { get: { operationId: 'pets/list all!' }, post: { operationId: '1st' } },
        '/b/{id}.json': { get: {}, put: { operationId: '  ' } },
        '/b-{id}': { get: {} },
        '/': { get: {} },
        '/ü': { get: { operationId: 'größe' } },
        '/c': { get: { operationId: long } },
      }),
    ).verdicts.map((verdict) => (verdict.kind === 'tool' ? verdict.tool.name : verdict.reason))
    expect(names).toEqual([
      'pets_list_all',
      'post_1st',
      'get_b_id_.json',
      'put_b_id_.json',
      'get_b-_id',
      'get',
      'gr_e',
      expect.stringMatching(/^ab{120}_[0-9a-f]{6}$/),
    ])
  })

  test('13: has paths that cannot be kept', () => {
    const long = `/${'a'.repeat(600)}`
    const verdicts = verdictsOf(planOf(document({ [long]: { get: {} }, '/a\0': { get: {} } })))
    expect(verdicts).toEqual({
      [`GET ${long}`]: 'has a path of over 500 characters',
      'GET /a\0': 'has texts with the character U+0000, or half a character',
    })
  })

  test('14: describes in HTML, at length, or twice', () => {
    const description = (operation: Json) =>
      toolOf(planOf(document({ '/x': { get: operation } })), 'GET /x').description
    expect(
      description({
        summary: 'List',
        description: '<p>All &amp; <a href="x">more</a>.</p><br/>**Now**',
      }),
    ).toBe('List\n\nAll & more.\n\n**Now**')
    expect(description({ summary: 'List pets', description: 'List pets of a shop' })).toBe(
      'List pets of a shop',
    )
    expect(description({})).toBe('GET /x')
    expect(description({ description: '<'.repeat(50_000) })).toHaveLength(1024)
    expect(description({ summary: 'x'.repeat(2000) })).toMatch(/^x{1023}…$/)
    expect(description({ summary: 'a\0b\ud800' })).toBe('ab\ufffd')
  })

  test('15: has what reads switched on, and what writes off and asking', () => {
    const operations = Object.fromEntries(
      ['get', 'post', 'put', 'patch', 'delete', 'head', 'options', 'trace'].map((method) => [
        method,
        {},
      ]),
    )
    const verdicts = verdictsOf(planOf(document({ '/x': operations })))
    const on = { isEnabled: true, approval: 'auto' }
    const off = { isEnabled: false, approval: 'ask' }
    expect(verdicts).toMatchObject({
      'GET /x': on,
      'POST /x': off,
      'PUT /x': off,
      'PATCH /x': off,
      'DELETE /x': off,
      'HEAD /x': 'HEAD is no method that tools are called with',
      'OPTIONS /x': 'OPTIONS is no method that tools are called with',
      'TRACE /x': 'TRACE is no method that tools are called with',
    })
  })

  test('16: says itself what is to be a tool, and what has consequences', () => {
    const plan = planOf(
      document(
        {
          '/a': { get: { 'x-mcp': true }, post: { 'x-mcp': false }, put: {} },
          '/b': {
            'x-mcp': true,
            get: { 'x-openai-isConsequential': true },
            post: { 'x-openai-isConsequential': false },
          },
        },
        { 'x-mcp': false },
      ),
    )
    const no = 'the document says x-mcp: false'
    expect(verdictsOf(plan)).toMatchObject({
      'GET /a': { isEnabled: true },
      'POST /a': no,
      'PUT /a': no,
      'GET /b': { isEnabled: true, approval: 'ask' },
      'POST /b': { isEnabled: false, approval: 'auto' },
    })
  })

  // 17, a document that comes again, is in diff-plan.test.ts and import.pg.test.ts.

  test.each<[string, unknown, RegExp]>([
    ['a bomb of aliases', bomb(), /alias|objects and lists/],
    [
      'nested without end',
      `{"openapi":"3.1.0","x":${'['.repeat(5000)}${']'.repeat(5000)}}`,
      /nested/,
    ],
    ['an alias to itself', 'openapi: 3.1.0\npaths: &a\n  /x: *a\n', /nested|alias/],
    ['half a document', '{"openapi": "3.1.0", ', /no OpenAPI document|JSON/],
    ['a list', [], /no OpenAPI document/],
    ['another document', { asyncapi: '3.0.0' }, /which version/],
    ['of a version to come', { openapi: '4.0.0', paths: {} }, /which version/],
    ['of a version long gone', { swagger: '1.2' }, /which version/],
  ])('18: that is %s is refused, and says why', (_, given, reason) => {
    expect(readDocument(given)).toEqual({ kind: 'refused', message: expect.stringMatching(reason) })
  })

  test('19: has deprecated operations, which are off', () => {
    const plan = planOf(document({ '/x': { get: { deprecated: true } } }))
    expect(toolOf(plan, 'GET /x')).toMatchObject({ isEnabled: false, approval: 'auto' })
  })

  test('20: says what success looks like', () => {
    const answers = (responses: Json) =>
      toolOf(planOf(document({ '/x': { get: { responses } } })), 'GET /x').outputSchema
    const object = { type: 'object', properties: { a: { type: 'string' } } }
    expect(
      answers({
        default: json({ type: 'string' }),
        404: json({ type: 'string' }),
        204: { description: '' },
        202: { content: { 'text/html': {}, 'application/hal+json': { schema: object } } },
        '2XX': json({ type: 'number' }),
      }),
    ).toEqual(object)
    expect(answers({ '2XX': json({ type: 'array', items: object }) })).toEqual({
      type: 'array',
      items: object,
    })
    expect(answers({ 200: json({}) })).toBeNull()
    expect(answers({ 500: json(object) })).toBeNull()
  })
})

/** Small as a text, and more than any memory holds. */
function bomb(): string {
  const levels = Array.from({ length: 12 }, (_, at) => {
    const inside = at === 0 ? '{ x: 1 }' : Array.from({ length: 9 }, () => `*a${at - 1}`).join(', ')
    return `a${at}: &a${at} [${inside}]`
  })
  return `openapi: 3.1.0\n${levels.join('\n')}\n`
}
