import { randomUUID } from 'node:crypto'
import { afterAll, describe, expect, test } from 'vitest'
import { type ApiAnswer, addMember, openTestApi } from '../../test/fixtures/api.ts'
import {
  fill,
  type Ids,
  type Operation,
  pathOf,
  readOperations,
  sample,
} from '../../test/fixtures/routes.ts'
import { PERMISSIONS } from '../auth/permissions.ts'

/** Every route of the router × everybody who should not get through it, and another org's ids wherever an id can stand. */
const MARK = 'theirs-7f3a91'
/** They show no org's data. */
const OPEN_ROUTES = [
  ...['/healthz', '/readyz', '/metrics', '/openapi.json', '/docs', '/.well-known/jwks.json'].map(
    (path) => `GET ${path}`,
  ),
  // Nobody is logged in there: what holds is a signature, or a state that is used once.
  'GET /integrations/slack/callback',
  'GET /integrations/slack/start',
  'POST /integrations/slack/start',
  'POST /inbound/slack/events',
  'POST /inbound/slack/commands',
  'POST /inbound/slack/interactions',
  'POST /inbound/teams/:integrationId',
  'POST /inbound/:integrationId',
  // Says what the operator configured, of any org alike.
  'GET /.well-known/oauth-protected-resource/orgs/:orgId/mcp',
]
/** By `routes/mcp.pg.test.ts`: what comes and goes there is MCP's, so they do not stand in the document. */
const ATTACKED_ELSEWHERE = ['GET', 'POST', 'DELETE'].map((method) => `${method} /orgs/:orgId/mcp`)

const api = await openTestApi()
afterAll(async () => {
  await api[Symbol.asyncDispose]()
})
const mine = await api.addOrgOf('me')
const theirs = await api.addOrgOf('they')
const myIds = await fill(api, mine)
const theirIds = await fill(api, theirs)
const myKey = await makeKey()
await markTheirs()
await addMember(api.database, theirs.orgId, 'watcher', 'viewer')
await addMember(api.database, theirs.orgId, 'chatter', 'member')
const operations = await readOperations(api)
const untouched = await theirRows()

let tried = 0
const surprises: string[] = []

/** A key that may do everything a key may, in my org. */
async function makeKey(): Promise<string> {
  const json = { name: 'All', permissions: PERMISSIONS }
  const { orgId, token } = mine
  return (await api.call('POST', `/orgs/${orgId}/api-keys`, { token, json })).body.key
}

/** Puts a mark into whatever of theirs can be read, so that it is known wherever it turns up. */
async function markTheirs(): Promise<void> {
  const { orgId, token } = theirs
  const { integrationId, webhookId, toolId, conversationId } = theirIds
  const base = `/orgs/${orgId}/integrations/${integrationId}`
  const ask = async (method: string, path: string, json: unknown) => {
    const answer = await api.call(method, path, { token, json })
    expect([path, answer.status]).toEqual([path, expect.toSatisfy((status) => status < 300)])
  }
  await ask('PATCH', base, { name: MARK })
  const headers = { 'x-note': MARK }
  await ask('PATCH', `${base}/webhooks/${webhookId}`, { description: MARK, headers })
  await ask('PATCH', `${base}/tools/${toolId}`, { description: MARK })
  await ask('POST', `/orgs/${orgId}/events`, { type: 'a.b', data: { mark: MARK } })
  await ask('POST', `/orgs/${orgId}/conversations/${conversationId}/turns`, { content: MARK })
  await ask('POST', `/orgs/${orgId}/tools/clock.now/execute`, { conversationId: MARK })
  await ask('POST', `/orgs/${orgId}/api-keys`, { name: MARK, permissions: ['org:chat'] })
  await ask('PUT', `/orgs/${orgId}/members/${MARK}`, { role: 'viewer' })
}

/** Every row of theirs as it stands, with the transaction that wrote it. */
async function theirRows(): Promise<Record<string, unknown[]>> {
  const { pool } = api.database
  const { rows: tables } = await pool.query<{ name: string }>(
    `select c.relname as name from pg_class as c join pg_attribute as a on a.attrelid = c.oid and a.attname = 'org_id'
     where c.relnamespace = 'patchbay'::regnamespace and c.relkind in ('r', 'p') and not c.relispartition
       -- To read the way to an install begins one: they do that themselves.
       and c.relname <> 'app_installs'
     order by 1`,
  )
  const all: Record<string, unknown[]> = {}
  for (const { name } of tables) {
    const { rows } = await pool.query(
      `select xmin::text, t::text as row from patchbay.${name} as t where org_id = $1 order by 2`,
      [theirs.orgId],
    )
    all[name] = rows
  }
  return all
}

interface Attack {
  readonly token?: string | undefined
  readonly ids: Ids
  readonly query?: string
  readonly body?: unknown
  readonly headers?: Readonly<Record<string, string>>
}

/** What reads can also be asked for its headers alone, by the same handler. */
const attacked = operations.flatMap((operation) =>
  operation.method === 'GET'
    ? [operation, { ...operation, method: 'HEAD', title: operation.title.replace('GET', 'HEAD') }]
    : [operation],
)

async function attack(operation: Operation, attempt: Attack): Promise<ApiAnswer> {
  const path = pathOf(operation, attempt.ids)
  const query =
    attempt.query === undefined ? '' : `${path.includes('?') ? '&' : '?'}${attempt.query}`
  const json =
    operation.body === null
      ? undefined
      : (attempt.body ?? sample(operation.body, '', attempt.ids.orgId ?? ''))
  tried += 1
  return api.call(operation.method, path + query, {
    token: attempt.token,
    json,
    ...(attempt.headers === undefined ? {} : { headers: attempt.headers }),
  })
}

/** Notes what must not be: a status that was not expected, or anything of theirs in the answer. */
function judge(
  { title }: Operation,
  who: string,
  answer: ApiAnswer,
  isExpected: (status: number) => boolean,
): void {
  const said = `${answer.text}\n${JSON.stringify([...answer.headers])}`
  if (!isExpected(answer.status))
    surprises.push(`${title}, ${who}: ${answer.status} ${answer.text}`)
  if (said.includes(MARK)) surprises.push(`${title}, ${who}: told ${answer.text}`)
}

/** What an answer tells, without what the caller knew before. */
function told({ status, body }: ApiAnswer): unknown {
  const { instance: _, requestId: __, ...rest } = body ?? {}
  return { status, ...rest }
}

function judgeAlike(operation: Operation, who: string, there: ApiAnswer, nowhere: ApiAnswer) {
  if (JSON.stringify(told(there)) !== JSON.stringify(told(nowhere))) {
    surprises.push(`${operation.title}, ${who}: ${there.text} is told apart from ${nowhere.text}`)
  }
}

const isRefused = (status: number) => status === 404
const isNot = (wanted: number) => (status: number) => status === wanted

test('every route of the router is attacked here, but those that show nothing of an org', () => {
  const known = new Set(
    operations.map(({ method, path }) => `${method} ${path.replace(/\{(\w+)\}/g, ':$1')}`),
  )
  const missing = api.routes
    .map(({ method, path }) => `${method} ${path}`)
    .filter((route) => !known.has(route))
    .filter((route) => ![...OPEN_ROUTES, ...ATTACKED_ELSEWHERE].includes(route))
  expect(missing).toEqual([])
  expect(operations.length).toBeGreaterThanOrEqual(45)
})

describe.each(attacked)('$title', (operation) => {
  test('lets nobody through without a token that holds', async () => {
    for (const [who, token] of [
      ['without a token', undefined],
      ['with a token that is none', 'x'],
      ['with a token that is over', await api.token('they', { expiresInS: -60 })],
      ['with a token of another secret', await api.token('they', { secret: 'y'.repeat(32) })],
      ['with an API key that nobody made', `pbk_${'A'.repeat(43)}`],
    ] as const) {
      const answer = await attack(operation, { token, ids: theirIds })
      judge(operation, who, answer, isNot(401))
    }
  })

  test('tells who belongs elsewhere, or nowhere, what it tells of an org that never was', async () => {
    if (operation.orgIn === null || operation.isForSuperadmins) return
    const nowhereIds = { ...theirIds, orgId: 'never-existed' }
    for (const [who, token] of [
      ['from another org', mine.token],
      ['of no org', await api.token('nobody')],
      ['a key of another org', myKey],
    ] as const) {
      const there = await attack(operation, { token, ids: theirIds })
      const nowhere = await attack(operation, { token, ids: nowhereIds })
      judge(operation, who, there, isRefused)
      judgeAlike(operation, who, there, nowhere)
    }
  })

  test('lets nobody of the org do what was not granted', async () => {
    if (operation.isForSuperadmins) {
      const answer = await attack(operation, { token: theirs.token, ids: theirIds })
      judge(operation, 'an owner', answer, isNot(403))
      const ofKey = await attack(operation, { token: myKey, ids: myIds })
      judge(operation, 'a key', ofKey, isNot(403))
      return
    }
    if (operation.orgIn === null) return
    const viewer = await api.token('watcher')
    judge(
      operation,
      'a viewer',
      await attack(operation, { token: viewer, ids: theirIds }),
      isNot(403),
    )
    if (!/\/(tools|conversations)/.test(operation.path) || /integrationId/.test(operation.path)) {
      const member = await api.token('chatter')
      // Members see what they asked for themselves; what others did is not there.
      const isOfTheirOwn =
        operation.method !== 'POST' && operation.path.endsWith('/approvals/{approvalId}')
      judge(
        operation,
        'a member',
        await attack(operation, { token: member, ids: theirIds }),
        isNot(isOfTheirOwn ? 404 : 403),
      )
    }
  })

  test('finds no id of another org, wherever it stands in the path', async () => {
    if (operation.orgIn === null || operation.isForSuperadmins) return
    const names = [...operation.path.matchAll(/\{(\w+Id)\}/g)]
      .map((match) => match[1] ?? '')
      .filter((name) => name !== 'orgId' && name !== 'userId')
    for (const name of names) {
      const ids = { ...myIds, [name]: theirIds[name] ?? '' }
      const there = await attack(operation, { token: mine.token, ids })
      const nowhere = await attack(operation, {
        token: mine.token,
        ids: { ...myIds, [name]: randomUUID() },
      })
      judge(operation, `their ${name}`, there, isRefused)
      judgeAlike(operation, `their ${name}`, there, nowhere)
    }
    if (names.length > 1) {
      const ids = { ...theirIds, orgId: mine.orgId }
      judge(
        operation,
        'all of their ids',
        await attack(operation, { token: mine.token, ids }),
        isRefused,
      )
    }
  })

  test('shows nothing of another org for an id of theirs in the query, a cursor or a header', async () => {
    if (operation.method !== 'GET' || operation.orgIn === null || operation.isForSuperadmins) return
    const isHarmless = (status: number) => [200, 400, 404].includes(status)
    for (const name of [
      'webhookId',
      'integrationId',
      'keyId',
      'eventId',
      'conversationId',
      'runId',
      'approvalId',
      'orgId',
    ]) {
      const query = `${name}=${theirIds[name]}`
      const answer = await attack(operation, { token: mine.token, ids: myIds, query })
      judge(operation, query, answer, isHarmless)
    }
    for (const query of [
      `webhookId=${myIds.webhookId}&webhookId=${theirIds.webhookId}`,
      `integrationId=${myIds.integrationId}&integrationId=${theirIds.integrationId}`,
      `integrationId[]=${theirIds.integrationId}`,
      `org_id=${theirs.orgId}`,
      'limit=1000000',
      'limit=-1',
      'q=%25',
    ]) {
      const answer = await attack(operation, { token: mine.token, ids: myIds, query })
      judge(operation, query, answer, isHarmless)
    }
    const page = await attack(operation, { token: theirs.token, ids: theirIds, query: 'limit=1' })
    const cursors = [
      page.body?.nextCursor,
      ...Object.values(theirIds).map((id) => Buffer.from(id).toString('base64url')),
      Buffer.from(JSON.stringify({ after: theirIds.eventId })).toString('base64url'),
    ].filter((cursor) => typeof cursor === 'string')
    for (const cursor of cursors) {
      const query = `cursor=${encodeURIComponent(cursor)}`
      const answer = await attack(operation, { token: mine.token, ids: myIds, query })
      judge(operation, `the cursor ${cursor}`, answer, isHarmless)
    }
    const headers = { 'x-org-id': theirs.orgId, 'x-user-id': 'they', 'x-forwarded-user': 'they' }
    judge(
      operation,
      'a header that names them',
      await attack(operation, { token: mine.token, ids: myIds, headers }),
      isHarmless,
    )
  })

  test('takes nothing of another org in its body', async () => {
    if (operation.body === null || operation.orgIn === null || operation.isForSuperadmins) return
    const body = sample(operation.body, '', mine.orgId) as object
    for (const [name, value] of Object.entries({
      ...theirIds,
      id: theirIds.webhookId,
      org_id: theirs.orgId,
      createdBy: 'they',
      isSuperadmin: true,
      secret: 'whsec_x',
    })) {
      const given = { ...body, [name]: value }
      const answer = await attack(operation, { token: mine.token, ids: myIds, body: given })
      // What the schema does not know is refused by name; what it knows means nothing outside of the own org.
      const isKnown = name in (operation.body.properties ?? {})
      const isFine = (status: number) => (isKnown ? status < 500 : status === 400 || status === 404)
      judge(operation, `${name} in the body`, answer, isFine)
    }
  })
})

describe('after all of it', () => {
  test('there was no surprise', () => {
    expect(surprises).toEqual([])
    expect(tried).toBeGreaterThan(1000)
  })

  test('no row of theirs is another one, and none is gone or new', async () => {
    expect(await theirRows()).toEqual(untouched)
  })

  test('nothing broke inside', () => {
    expect(api.broken).toEqual([])
  })
})
