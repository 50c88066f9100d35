import { afterAll, expect, test } from 'vitest'
import { openTestApi } from '../../../test/fixtures/api.ts'

const api = await openTestApi()
afterAll(() => api[Symbol.asyncDispose]())
const { orgId, token } = await api.addOrgOf('me')
const path = `/orgs/${orgId}/integrations`

test('credentials go in and only their names come back', async () => {
  const credentials = { apiKey: 'k-very-secret', user: 'u-very-secret' }
  const json = {
    providerKey: 'generic-webhook',
    name: ' Jira ',
    credentials,
    config: { site: 'a' },
  }
  const created = await api.call('POST', path, { token, json })
  expect(created).toMatchObject({
    status: 201,
    body: {
      integration: {
        orgId,
        provider: { key: 'generic-webhook', name: 'Webhook' },
        name: 'Jira',
        isEnabled: true,
        config: { site: 'a' },
        credentialFields: ['apiKey', 'user'],
        status: 'connected',
        statusDetail: null,
      },
    },
  })
  const one = `${path}/${created.body.integration.id}`
  const patched = await api.call('PATCH', one, {
    token,
    json: { credentials: { other: 'o-very-secret' } },
  })
  expect(patched.body).toMatchObject({ ok: true, integration: { credentialFields: ['other'] } })
  const read = [
    created,
    patched,
    await api.call('GET', one, { token }),
    await api.call('GET', path, { token }),
  ]
  for (const { text } of read) expect(text).not.toContain('very-secret')
})

test('an integration is changed, disabled and removed', async () => {
  const json = { providerKey: 'generic-webhook', name: 'Hooks' }
  const { body } = await api.call('POST', path, { token, json })
  const one = `${path}/${body.integration.id}`
  const patched = await api.call('PATCH', one, { token, json: { name: 'New', isEnabled: false } })
  expect(patched.body.integration).toMatchObject({
    name: 'New',
    isEnabled: false,
    status: 'disconnected',
    createdAt: body.integration.createdAt,
  })
  expect(await api.call('DELETE', one, { token })).toMatchObject({
    status: 200,
    body: { ok: true },
  })
  expect(await api.call('GET', one, { token })).toMatchObject({ status: 404 })
  expect(await api.call('DELETE', one, { token })).toMatchObject({ status: 404 })
  const { integrations } = (await api.call('GET', path, { token })).body
  expect(integrations.map(({ id }: { id: string }) => id)).not.toContain(body.integration.id)
})

test.each([
  ['a provider that does not exist', { providerKey: 'nope' }, 'providerKey'],
  [
    'credentials of wrong form',
    { providerKey: 'slack', credentials: { botToken: 'x' } },
    'credentials.botToken',
  ],
  ['credentials that are no text', { credentials: { key: 1 } }, 'credentials.key'],
  [
    'credentials of an unknown name',
    { providerKey: 'slack', credentials: { nope: 'x' } },
    'credentials',
  ],
  ['config that the app does not have', { providerKey: 'slack', config: { a: 1 } }, 'config'],
  ['an empty name', { name: ' ' }, 'name'],
  ['a name that is too long', { name: 'x'.repeat(129) }, 'name'],
])('%s is refused with its field, and its value is not shown', async (_, wrong, field) => {
  const json = { providerKey: 'generic-webhook', name: 'Wrong', ...wrong }
  const answer = await api.call('POST', path, { token, json })
  expect(answer).toMatchObject({
    status: 400,
    body: { error: 'INVALID_BODY', details: [{ path: field }] },
  })
})

test('a list is paged without gaps or repetition, oldest first', async () => {
  const other = await api.addOrgOf('pager')
  const list = `/orgs/${other.orgId}/integrations`
  const made: string[] = []
  for (let n = 0; n < 7; n += 1) {
    const json = { providerKey: 'generic-webhook', name: `Hook ${n}` }
    made.push((await api.call('POST', list, { token: other.token, json })).body.integration.id)
  }
  const seen: string[] = []
  let cursor: string | null = ''
  while (cursor !== null) {
    const query = cursor === '' ? '' : `&cursor=${cursor}`
    const { body } = await api.call('GET', `${list}?limit=3${query}`, { token: other.token })
    seen.push(...body.integrations.map(({ id }: { id: string }) => id))
    cursor = body.nextCursor
  }
  expect(seen).toEqual(made)
})

test.each(['limit=0', 'limit=101', 'limit=x', 'limit=1.5', 'cursor=x', 'cursor=', 'cursor=%00'])(
  '?%s is refused with its name',
  async (query) => {
    const answer = await api.call('GET', `${path}?${query}`, { token })
    const [name] = query.split('=')
    expect(answer).toMatchObject({
      status: 400,
      body: { error: 'INVALID_QUERY', details: [{ path: name }] },
    })
  },
)

test('nothing of all this broke inside', () => {
  expect(api.broken).toEqual([])
})
