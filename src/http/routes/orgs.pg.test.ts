import { afterAll, expect, test } from 'vitest'
import { addMember, openTestApi } from '../../../test/fixtures/api.ts'
import { ROLES } from '../../auth/permissions.ts'

const api = await openTestApi()
afterAll(() => api[Symbol.asyncDispose]())
const root = api.superadmin

test('an org is created once, under its own id or one of ours', async () => {
  const json = { id: 'acme:eu-1', name: 'Acme' }
  const created = await api.call('POST', '/orgs', { token: root, json })
  expect(created).toMatchObject({ status: 201, body: { org: json } })
  expect(await api.call('POST', '/orgs', { token: root, json })).toMatchObject({ status: 409 })
  const other = await api.call('POST', '/orgs', { token: root, json: { name: 'Other' } })
  expect(other.body.org.id).toEqual(expect.any(String))
})

test.each(['', 'a/b', '.hidden', 'x'.repeat(129), 'a b'])('"%s" is no org id', async (id) => {
  const answer = await api.call('POST', '/orgs', { token: root, json: { id, name: 'A' } })
  expect(answer).toMatchObject({ status: 400, body: { details: [{ path: 'id' }] } })
})

test('orgs are listed newest first, page by page, without gaps or repetition', async () => {
  const made: string[] = []
  for (const name of ['a', 'b', 'c', 'd', 'e']) {
    const { body } = await api.call('POST', '/orgs', { token: root, json: { name } })
    made.unshift(body.org.id)
  }
  const seen: string[] = []
  let cursor: string | null = ''
  while (cursor !== null) {
    const query: string = cursor === '' ? '' : `&cursor=${cursor}`
    const { body } = await api.call('GET', `/orgs?limit=2${query}`, { token: root })
    seen.push(...body.orgs.map(({ id }: { id: string }) => id))
    cursor = body.nextCursor
  }
  expect(seen.slice(0, 5)).toEqual(made)
  expect(new Set(seen).size).toBe(seen.length)
})

test('members are added, changed and removed', async () => {
  const { orgId, token } = await api.addOrgOf('boss')
  const members = `/orgs/${orgId}/members`
  const one = `${members}/new-one`
  const put = (role: string) => api.call('PUT', one, { token, json: { role } })
  expect(await put('member')).toMatchObject({
    status: 200,
    body: { member: { userId: 'new-one', role: 'member' } },
  })
  expect(await put('admin')).toMatchObject({ body: { member: { role: 'admin' } } })
  expect((await api.call('GET', members, { token })).body.members).toEqual([
    { userId: 'boss', role: 'owner' },
    { userId: 'new-one', role: 'admin' },
  ])
  expect(await api.call('DELETE', one, { token })).toMatchObject({ status: 200 })
  expect(await api.call('DELETE', one, { token })).toMatchObject({ status: 404 })
  expect(await put('king')).toMatchObject({ status: 400, body: { details: [{ path: 'role' }] } })
})

test.each([
  ['owner', 200, 200, 200, 200],
  ['admin', 200, 200, 200, 200],
  ['member', 403, 403, 200, 200],
  ['viewer', 403, 403, 403, 403],
] as const)('%s may: members %i, manage %i, tools %i, chat %i', async (role, ...statuses) => {
  const { orgId } = await api.addOrgOf('somebody')
  await addMember(api.database, orgId, 'me', role)
  const token = await api.token('me')
  const paths = ['members', 'integrations', 'tools', 'conversations']
  const answers = await Promise.all(
    paths.map((path) => api.call('GET', `/orgs/${orgId}/${path}`, { token })),
  )
  expect(answers.map(({ status }) => status)).toEqual(statuses)
  expect(ROLES).toContain(role)
})

test('who is removed is a stranger at once', async () => {
  const { orgId, token } = await api.addOrgOf('boss')
  await addMember(api.database, orgId, 'left', 'admin')
  const left = await api.token('left')
  expect(await api.call('GET', `/orgs/${orgId}/tools`, { token: left })).toMatchObject({
    status: 200,
  })
  await api.call('DELETE', `/orgs/${orgId}/members/left`, { token })
  expect(await api.call('GET', `/orgs/${orgId}/tools`, { token: left })).toMatchObject({
    status: 404,
  })
})

test('who is removed does not get an answer again that was kept under a key', async () => {
  const { orgId, token } = await api.addOrgOf('boss')
  await addMember(api.database, orgId, 'left', 'admin')
  const left = await api.token('left')
  const request = {
    token: left,
    json: { type: 'a.b', data: {} },
    headers: { 'idempotency-key': 'kept' },
  }
  expect(await api.call('POST', `/orgs/${orgId}/events`, request)).toMatchObject({ status: 202 })
  await api.call('DELETE', `/orgs/${orgId}/members/left`, { token })
  expect(await api.call('POST', `/orgs/${orgId}/events`, request)).toMatchObject({ status: 404 })
})

test('an org that is deleted takes every row of its own with it, and no other', async () => {
  const { rows: tables } = await api.database.pool.query(
    `select c.table_name as name from information_schema.columns as c
     join information_schema.tables as t using (table_schema, table_name)
     where c.table_schema = 'patchbay' and c.column_name = 'org_id' and t.table_type = 'BASE TABLE'`,
  )
  const rowsOf = async (orgId: string) => {
    const counts: Record<string, number> = {}
    for (const { name } of tables) {
      const { rows } = await api.database.pool.query(
        `select count(*)::int as n from patchbay.${name} where org_id = $1`,
        [orgId],
      )
      if (rows[0].n > 0) counts[name] = rows[0].n
    }
    return counts
  }
  const fill = async ({ orgId, token }: { orgId: string; token: string }) => {
    const post = async (path: string, json: unknown) =>
      (
        await api.call('POST', `/orgs/${orgId}${path}`, {
          token,
          json,
          headers: { 'idempotency-key': path },
        })
      ).body
    const { integration } = await post('/integrations', {
      providerKey: 'generic-webhook',
      name: 'H',
    })
    await post(`/integrations/${integration.id}/webhooks`, {
      url: 'https://hooks.example.com/',
      eventTypes: ['*'],
    })
    await post('/events', { type: 'a.b', data: {} })
    const { conversation } = await post('/conversations', {})
    await post(`/conversations/${conversation.id}/turns`, { content: 'use clock.now {}' })
  }
  const gone = await api.addOrgOf('boss')
  const stays = await api.addOrgOf('boss')
  await fill(gone)
  await fill(stays)
  const kept = await rowsOf(stays.orgId)
  expect(Object.keys(kept).length).toBeGreaterThan(8)
  expect(await api.call('DELETE', `/orgs/${gone.orgId}`, { token: root })).toMatchObject({
    status: 200,
  })
  expect(await rowsOf(gone.orgId)).toEqual({})
  expect(await rowsOf(stays.orgId)).toEqual(kept)
  expect(await api.call('DELETE', `/orgs/${gone.orgId}`, { token: root })).toMatchObject({
    status: 404,
  })
})

test('nothing of all this broke inside', () => {
  expect(api.broken).toEqual([])
})
