import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { actor } from '../../test/fixtures/actor.ts'
import { openTestDatabase, type TestDatabase } from '../../test/fixtures/database.ts'
import type { AuditEntry } from '../core/actor.ts'
import { makeArgsValidator } from './args.ts'
import { makeBuiltins } from './builtins.ts'
import { makeToolDefinitions, type ToolHost, type ToolInput } from './definitions.ts'

let database: TestDatabase
let orgId: string
let integrationId: string
let definitions: ReturnType<typeof makeToolDefinitions>
const audited: AuditEntry[] = []
const MAX_TOOLS = 12

const HOST: ToolHost = {
  id: '01a1f3c2-9d4e-7c11-8a51-6f0e2b7d9c02',
  signingSecrets: [],
  isEnabled: true,
  supportsTools: true,
  network: 'public',
  config: { project: 'PB' },
  credentials: { token: 'secret' },
  domains: null,
}
const INPUT: ToolInput = {
  name: 'jira.createIssue',
  description: 'Creates an issue.',
  argsSchema: { type: 'object', properties: { title: { type: 'string' } } },
  httpConfig: {
    method: 'POST',
    url: 'https://jira.example.com/{{config.project}}/issues',
    headers: { authorization: 'Bearer {{credentials.token}}' },
  },
}

beforeAll(async () => {
  database = await openTestDatabase()
  await database.pool.query(
    `insert into patchbay.integration_providers (key, name, description, manifest)
     values ('generic-webhook', 'Webhook', '', '{}')`,
  )
  definitions = makeToolDefinitions({
    inOrg: database.inOrg,
    audit: async (entry) => {
      audited.push(entry)
    },
    maxTools: MAX_TOOLS,
    builtins: makeBuiltins({ now: () => new Date(), searchMessages: async () => [] }),
    compile: makeArgsValidator().compile,
    loadHost: async (org, id) => {
      const { rows } = await database.pool.query(
        'select name from patchbay.org_integrations where org_id = $1 and id = $2',
        [org, id],
      )
      if (rows.length === 0) return null
      return { ...HOST, supportsTools: rows[0].name !== 'without tools' }
    },
    urlJudge: async () => (url) => (url.includes('private') ? 'is not public' : null),
  })
})
afterAll(() => database[Symbol.asyncDispose]())

beforeEach(async () => {
  audited.length = 0
  orgId = await database.addOrg()
  integrationId = await addIntegration(orgId)
})

async function addIntegration(org: string, name = 'Jira'): Promise<string> {
  const { rows } = await database.pool.query(
    `insert into patchbay.org_integrations (org_id, provider_key, name)
     values ($1, 'generic-webhook', $2) returning id`,
    [org, name],
  )
  return rows[0].id
}

const create = (input: Partial<ToolInput> = {}) =>
  definitions.create(orgId, integrationId, { ...INPUT, ...input }, actor())

describe('a tool', () => {
  test('is kept as it was defined', async () => {
    const created = await create()
    expect(created).toEqual({
      ...INPUT,
      id: expect.any(String),
      orgId,
      integrationId,
      wireName: 'jira_createIssue',
      outputSchema: null,
      rateLimit: null,
      isEnabled: true,
      approval: 'auto',
      sourceKey: null,
      createdAt: expect.stringMatching(/^\d{4}-.*Z$/),
      updatedAt: expect.stringMatching(/^\d{4}-.*Z$/),
    })
    expect(await definitions.get(orgId, integrationId, created.id)).toEqual(created)
    await create({ name: 'a.first' })
    const names = (await definitions.list(orgId, integrationId)).map((tool) => tool.name)
    expect(names).toEqual(['a.first', 'jira.createIssue'])
  })

  test('changes only in what is given', async () => {
    const { id, ...before } = await create()
    const changed = await definitions.update(
      orgId,
      integrationId,
      id,
      { isEnabled: false },
      actor(),
    )
    expect(changed).toEqual({ ...before, id, isEnabled: false, updatedAt: expect.any(String) })
    expect(changed.updatedAt > before.updatedAt).toBe(true)
  })

  test('that is removed is gone', async () => {
    const { id } = await create()
    await definitions.remove(orgId, integrationId, id, actor())
    const gone = { code: 'NOT_FOUND', message: 'No such tool.' }
    await expect(definitions.get(orgId, integrationId, id)).rejects.toMatchObject(gone)
    await expect(definitions.remove(orgId, integrationId, id, actor())).rejects.toMatchObject(gone)
    await expect(definitions.update(orgId, integrationId, id, {}, actor())).rejects.toMatchObject(
      gone,
    )
  })

  test('of another org, or of another integration, does not exist', async () => {
    const { id } = await create()
    const other = await database.addOrg()
    const elsewhere = await addIntegration(orgId)
    for (const [org, integration] of [
      [other, integrationId],
      [other, await addIntegration(other)],
      [orgId, elsewhere],
    ] as const) {
      const gone = { code: 'NOT_FOUND' }
      await expect(definitions.get(org, integration, id)).rejects.toMatchObject(gone)
      await expect(definitions.remove(org, integration, id, actor())).rejects.toMatchObject(gone)
      const change = definitions.update(org, integration, id, { description: 'mine' }, actor())
      await expect(change).rejects.toMatchObject(gone)
    }
    expect(await definitions.list(orgId, elsewhere)).toEqual([])
    await expect(definitions.list(other, integrationId)).rejects.toMatchObject({
      code: 'NOT_FOUND',
      message: 'No such integration.',
    })
    expect((await definitions.get(orgId, integrationId, id)).description).toBe(INPUT.description)
  })

  test('cannot be defined where the app has none', async () => {
    const id = await addIntegration(orgId, 'without tools')
    await expect(definitions.create(orgId, id, INPUT, actor())).rejects.toMatchObject({
      code: 'UNPROCESSABLE',
    })
  })
})

describe('a name', () => {
  test.each(['jira.createIssue', 'JIRA.CREATEISSUE', 'clock.now', 'Clock.Now'])(
    'is there once in an org: %s',
    async (name) => {
      await create()
      await expect(create({ name })).rejects.toMatchObject({ code: 'CONFLICT' })
      const elsewhere = await addIntegration(orgId)
      const again = definitions.create(orgId, elsewhere, { ...INPUT, name }, actor())
      await expect(again).rejects.toMatchObject({ code: 'CONFLICT' })
    },
  )

  test('may be there in another org, too', async () => {
    await create()
    const other = await database.addOrg()
    const tool = await definitions.create(other, await addIntegration(other), INPUT, actor())
    expect(tool.wireName).toBe('jira_createIssue')
  })

  test('gets a wire name of its own where another has it, a built-in tool included', async () => {
    await create({ name: 'a.b' })
    expect((await create({ name: 'a_b' })).wireName).toMatch(/^a_b_[0-9a-f]{6}$/)
    expect((await create({ name: 'clock_now' })).wireName).toMatch(/^clock_now_[0-9a-f]{6}$/)
    const long = (await create({ name: `a.${'x'.repeat(126)}` })).wireName
    expect(long).toMatch(/^[a-zA-Z][a-zA-Z0-9_-]{63}$/)
  })

  test('can change its case, and gets a new wire name with a new name', async () => {
    const { id } = await create()
    const cased = await definitions.update(
      orgId,
      integrationId,
      id,
      { name: 'Jira.CreateIssue' },
      actor(),
    )
    expect(cased).toMatchObject({ name: 'Jira.CreateIssue', wireName: 'Jira_CreateIssue' })
    await create({ name: 'jira.close' })
    const taken = definitions.update(orgId, integrationId, id, { name: 'jira.close' }, actor())
    await expect(taken).rejects.toMatchObject({ code: 'CONFLICT' })
  })

  test('that was made to collide with a marked wire name is a conflict', async () => {
    await create({ name: 'a.b' })
    const { id, wireName } = await create({ name: 'a_b' })
    await definitions.remove(orgId, integrationId, id, actor())
    await create({ name: wireName })
    await expect(create({ name: 'a_b' })).rejects.toMatchObject({ code: 'CONFLICT' })
  })

  test('is taken by one of those who ask for it at once', async () => {
    const asked = await Promise.allSettled(Array.from({ length: 8 }, () => create()))
    expect(asked.filter((answer) => answer.status === 'fulfilled')).toHaveLength(1)
    const wires = await Promise.all(
      ['p.q.r', 'p_q.r', 'p.q_r', 'p_q_r'].map(async (name) => (await create({ name })).wireName),
    )
    expect(new Set(wires).size).toBe(4)
  })
})

describe('a definition that can never work', () => {
  test.each<[string, Partial<ToolInput>, string]>([
    ['a name with a space', { name: 'create issue' }, 'name'],
    ['a name that begins with a digit', { name: '1a' }, 'name'],
    ['a name of 129 characters', { name: 'a'.repeat(129) }, 'name'],
    ['no description', { description: '' }, 'description'],
    ['a description of 1025 characters', { description: 'x'.repeat(1025) }, 'description'],
    ['a description that cannot be stored', { description: 'a\0b' }, 'description'],
    [
      'a schema that cannot be stored',
      { argsSchema: { type: 'object', description: '\ud800' } },
      'argsSchema',
    ],
    ['a schema that is none', { argsSchema: { type: 'object', required: 1 } }, 'argsSchema'],
    ['a schema of results that is none', { outputSchema: { type: 5 } }, 'outputSchema'],
    [
      'a schema of results that is elsewhere',
      { outputSchema: { type: 'object', $ref: 'https://example.com/x.json' } },
      'outputSchema',
    ],
    [
      'a schema of results that is too large',
      { outputSchema: { type: 'object', description: 'x'.repeat(65_536) } },
      'outputSchema',
    ],
    [
      'a private URL',
      { httpConfig: { method: 'GET', url: 'https://private.example.com' } },
      'httpConfig.url',
    ],
    [
      'a credential that the integration does not have',
      { httpConfig: { method: 'GET', url: 'https://example.com/?k={{credentials.none}}' } },
      'httpConfig.url',
    ],
  ])('is refused with its field, new or changed: %s', async (_, input, path) => {
    const refused = { code: 'INVALID_BODY', details: [{ path }] }
    await expect(create(input)).rejects.toMatchObject(refused)
    const { id } = await create()
    await expect(
      definitions.update(orgId, integrationId, id, input, actor()),
    ).rejects.toMatchObject(refused)
  })

  test('is not one whose pattern only looks like it', async () => {
    const argsSchema = { type: 'object', properties: { a: { pattern: '^[^\\u0000]+$' } } }
    expect((await create({ argsSchema })).argsSchema).toEqual(argsSchema)
  })
})

describe('the audit entry of a tool', () => {
  const calls = {
    method: 'POST',
    url: 'https://jira.example.com/{{config.project}}/issues',
    credentials: ['token'],
  }

  test('says where its calls go and which credentials go with them', async () => {
    const { id } = await create()
    expect(audited).toMatchObject([
      { action: 'tool.created', target: id, detail: { name: INPUT.name, calls } },
    ])
  })

  test('says what they were and are, where that changes, and no query', async () => {
    const { id } = await create()
    const url = 'https://elsewhere.example.org/in?key={{credentials.token}}'
    const httpConfig = { method: 'GET' as const, url }
    await definitions.update(orgId, integrationId, id, { httpConfig }, actor())
    await definitions.update(orgId, integrationId, id, { httpConfig, isEnabled: false }, actor())
    const now = { method: 'GET', url: 'https://elsewhere.example.org/in?…', credentials: ['token'] }
    expect(audited.slice(1).map((entry) => entry.detail)).toEqual([
      { changed: ['httpConfig'], calls: { from: calls, to: now } },
      { changed: ['httpConfig', 'isEnabled'], isEnabled: false },
    ])
  })
})

describe('an org', () => {
  test('has so many tools and no more, also when several are made at once', async () => {
    const made = await Promise.allSettled(
      Array.from({ length: MAX_TOOLS + 4 }, (_, i) => create({ name: `tool.${i}` })),
    )
    const refused = made.filter((result) => result.status === 'rejected')
    expect(refused).toHaveLength(4)
    expect(refused[0]?.reason).toMatchObject({ code: 'UNPROCESSABLE' })
  })

  test('has schemas of so many bytes together', async () => {
    const description = 'x'.repeat(40_000)
    const argsSchema = { type: 'object', description }
    await create({ name: 'one', argsSchema })
    await create({ name: 'two', outputSchema: argsSchema })
    const { id } = await create({ name: 'three' })
    for (const change of [{ argsSchema }, { outputSchema: argsSchema }]) {
      await expect(
        definitions.update(orgId, integrationId, id, change, actor()),
      ).rejects.toMatchObject({ code: 'UNPROCESSABLE' })
    }
    await expect(create({ name: 'four', argsSchema })).rejects.toMatchObject({
      code: 'UNPROCESSABLE',
    })
    await create({ name: 'five' })
  })
})
