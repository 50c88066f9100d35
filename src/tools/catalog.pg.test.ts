import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { openTestDatabase, type TestDatabase } from '../../test/fixtures/database.ts'
import { makeBuiltins } from './builtins.ts'
import { makeCatalog } from './catalog.ts'

let database: TestDatabase
let catalog: ReturnType<typeof makeCatalog>
let orgId: string
let integrationId: string

beforeAll(async () => {
  database = await openTestDatabase()
  await database.pool.query(
    `insert into patchbay.integration_providers (key, name, description, manifest)
     values ('generic-webhook', 'Webhook', '', '{}')`,
  )
  const builtins = makeBuiltins({ now: () => new Date(), searchMessages: async () => [] })
  catalog = makeCatalog({ ...database, builtins, whenStale: () => undefined })
})
afterAll(() => database[Symbol.asyncDispose]())
beforeEach(async () => {
  orgId = await database.addOrg()
  const { rows } = await database.pool.query(
    `insert into patchbay.org_integrations (org_id, provider_key, name)
     values ($1, 'generic-webhook', 'x') returning id`,
    [orgId],
  )
  integrationId = rows[0].id
})

async function define(name: string, wireName = name.replaceAll('.', '_')): Promise<void> {
  await database.pool.query(
    `insert into patchbay.external_tool_definitions
       (org_id, integration_id, name, wire_name, description, args_schema, http_config)
     values ($1, $2, $3, $4, 'Does it.', '{"type":"object"}',
       '{"method":"GET","url":"https://example.com/"}')`,
    [orgId, integrationId, name, wireName],
  )
}

const mayChat = async () => true
const names = async (org = orgId) => (await catalog.list(org, mayChat)).map((tool) => tool.name)
const BUILTIN = ['clock.now', 'conversation.search']

test('built-in and external tools stand in one list, always in the same order', async () => {
  await define('zoo.feed')
  await define('Alpha')
  await define('alpha.beta')
  expect(await names()).toEqual(['Alpha', 'alpha.beta', ...BUILTIN, 'zoo.feed'])
  expect(await catalog.list(orgId, mayChat)).toContainEqual({
    name: 'zoo.feed',
    wireName: 'zoo_feed',
    description: 'Does it.',
    argsSchema: { type: 'object' },
    source: 'external',
    integrationId,
    outputSchema: null,
    approval: 'auto',
    isReadOnly: true,
    isIdempotent: true,
    isRemote: false,
  })
  expect(
    (await catalog.list(orgId, mayChat)).find((tool) => tool.name === 'clock.now'),
  ).toMatchObject({
    source: 'builtin',
    integrationId: null,
  })
})

test('another org sees its own tools only', async () => {
  await define('zoo.feed')
  const other = await database.addOrg()
  expect(await names(other)).toEqual(BUILTIN)
  expect(await catalog.find(other, 'zoo.feed')).toBeNull()
})

test.each([
  [
    'tool is disabled',
    'update patchbay.external_tool_definitions set is_enabled = false where org_id = $1',
  ],
  [
    'integration is disabled',
    'update patchbay.org_integrations set is_enabled = false where org_id = $1',
  ],
  [
    'integration is deleted',
    'update patchbay.org_integrations set deleted_at = now() where org_id = $1',
  ],
])('an external tool is not there while its %s', async (_, statement) => {
  await define('zoo.feed')
  await database.pool.query(statement, [orgId])
  expect(await names()).toEqual(BUILTIN)
  expect(await catalog.find(orgId, 'zoo.feed')).toBeNull()
  expect(await catalog.find(orgId, 'zoo_feed')).toBeNull()
})

test.each(['zoo.feed', 'zoo_feed', 'ZOO.FEED', 'Zoo.Feed'])(
  'a tool is found as %s',
  async (wanted) => {
    await define('zoo.feed')
    expect(await catalog.find(orgId, wanted)).toMatchObject({ kind: 'external', name: 'zoo.feed' })
  },
)

test.each(['zoo', 'zoo.feed.more', 'zoo%', '', 'zoo\0feed', "zoo'"])(
  'nothing is found as %j',
  async (wanted) => {
    await define('zoo.feed')
    expect(await catalog.find(orgId, wanted)).toBeNull()
  },
)

test('a built-in tool is found by both of its names', async () => {
  for (const wanted of ['clock.now', 'clock_now', 'CLOCK.NOW']) {
    expect(await catalog.find(orgId, wanted)).toMatchObject({ tool: { name: 'clock.now' } })
  }
})

test('where one tool’s name is another’s wire name, what models are given is meant', async () => {
  await define('a.b', 'a_b')
  await define('a_b', 'a_b_123456')
  await define('clock_now', 'clock_now_123456')
  expect(await catalog.find(orgId, 'a_b')).toMatchObject({ name: 'a.b' })
  expect(await catalog.find(orgId, 'a.b')).toMatchObject({ name: 'a.b' })
  expect(await catalog.find(orgId, 'A_B')).toMatchObject({ name: 'a_b' })
  expect(await catalog.find(orgId, 'clock_now')).toMatchObject({ kind: 'builtin' })
  expect(await catalog.find(orgId, 'a_b_123456')).toMatchObject({ name: 'a_b' })
})
