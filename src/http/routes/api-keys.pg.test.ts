import { createHash, randomUUID } from 'node:crypto'
import { afterAll, describe, expect, test, vi } from 'vitest'
import { addMember, openTestApi } from '../../../test/fixtures/api.ts'
import { newApiKey } from '../../auth/api-key-text.ts'
import { makeVerifyApiKey } from '../../auth/api-keys.ts'
import { PERMISSIONS } from '../../auth/permissions.ts'
import { makeLog } from '../../telemetry/log.ts'

const api = await openTestApi({ AUTH_ORG_CLAIM: 'orgs' })
afterAll(() => api[Symbol.asyncDispose]())
const { pool } = api.database

const mine = await api.addOrgOf('ann')
const theirs = await api.addOrgOf('bob')
const keysPath = `/orgs/${mine.orgId}/api-keys`

async function make(permissions: readonly string[], input: object = {}, token = mine.token) {
  const json = { name: 'CI', permissions, ...input }
  const answer = await api.call('POST', keysPath, { token, json })
  expect(answer.text).toSatisfy(() => answer.status === 201)
  return answer.body
}

async function statusOf(token: string, method: string, path: string, json?: object) {
  const { status } = await api.call(method, path, { token, json })
  return status
}

const lastUseOf = async (id: string): Promise<Date | null> => {
  const { rows } = await pool.query(
    'select last_used_at as at from patchbay.api_keys where id = $1',
    [id],
  )
  return rows[0].at
}

describe('a key that is made', () => {
  test('is shown once, and kept as its hash', async () => {
    const expiresAt = '2999-01-31T12:00:00.000Z'
    const { apiKey, key } = await make(['org:chat', 'org:tools:use', 'org:chat'], { expiresAt })
    expect(apiKey).toEqual({
      id: expect.any(String),
      name: 'CI',
      permissions: ['org:tools:use', 'org:chat'],
      hint: key.slice(-4),
      createdBy: 'ann',
      createdAt: expect.any(String),
      expiresAt,
      lastUsedAt: null,
    })
    const { body, text } = await api.call('GET', keysPath, { token: mine.token })
    expect(body.apiKeys[0]).toEqual(apiKey)
    expect(text).not.toContain(key)
    const { rows } = await pool.query(
      'select hash, api_keys::text as row from patchbay.api_keys where id = $1',
      [apiKey.id],
    )
    expect(rows[0].hash).toEqual(createHash('sha256').update(key).digest())
    expect(rows[0].row).not.toContain(key)
  })

  test('stands in the audit log with who made and who revoked it, without itself', async () => {
    const { apiKey, key } = await make(['org:chat'], { name: 'Audited' })
    await api.call('DELETE', `${keysPath}/${apiKey.id}`, { token: mine.token })
    const { body, text } = await api.call('GET', `/orgs/${mine.orgId}/audit`, {
      token: mine.token,
    })
    expect(body.entries.slice(0, 2)).toMatchObject([
      { action: 'api_key.revoked', target: apiKey.id, principal: 'ann' },
      {
        action: 'api_key.created',
        target: apiKey.id,
        principal: 'ann',
        detail: { name: 'Audited', permissions: ['org:chat'], hint: key.slice(-4) },
      },
    ])
    expect(text).not.toContain(key)
  })

  test('is the same one for the same Idempotency-Key', async () => {
    const request = {
      token: mine.token,
      json: { name: 'Once', permissions: ['org:chat'] },
      headers: { 'idempotency-key': randomUUID() },
    }
    const first = await api.call('POST', keysPath, request)
    const again = await api.call('POST', keysPath, request)
    expect(again.body.key).toBe(first.body.key)
    expect(again.headers.get('idempotency-replayed')).toBe('true')
  })

  test.each([
    ['name', { name: ' ' }],
    ['name', { name: 'x'.repeat(129) }],
    ['permissions', { permissions: [] }],
    ['permissions.0', { permissions: ['org:members:manage'] }],
    ['permissions.0', { permissions: ['*'] }],
    ['expiresAt', { expiresAt: '2020-01-01T00:00:00Z' }],
    ['expiresAt', { expiresAt: 'soon' }],
  ])('is refused with a wrong %s: %j', async (path, wrong) => {
    const json = { name: 'CI', permissions: ['org:chat'], ...wrong }
    const answer = await api.call('POST', keysPath, { token: mine.token, json })
    expect(answer).toMatchObject({ status: 400, body: { details: [{ path }] } })
  })

  test('is listed newest first, page by page', async () => {
    const org = await api.addOrgOf('lister')
    const path = `/orgs/${org.orgId}/api-keys`
    for (const name of ['a', 'b', 'c']) {
      const json = { name, permissions: ['org:chat'] }
      await api.call('POST', path, { token: org.token, json })
    }
    const one = await api.call('GET', `${path}?limit=2`, { token: org.token })
    const two = await api.call('GET', `${path}?limit=2&cursor=${one.body.nextCursor}`, {
      token: org.token,
    })
    const names = [...one.body.apiKeys, ...two.body.apiKeys].map(({ name }) => name)
    expect([names, two.body.nextCursor]).toEqual([['c', 'b', 'a'], null])
  })
})

describe('who may make one', () => {
  test.each(['member', 'viewer'])('a %s may not', async (role) => {
    await addMember(api.database, mine.orgId, role, role)
    const token = await api.token(role)
    expect(await statusOf(token, 'GET', keysPath)).toBe(403)
    const json = { name: 'CI', permissions: ['org:chat'] }
    expect(await statusOf(token, 'POST', keysPath, json)).toBe(403)
  })

  test('nobody grants a key what they do not have', async () => {
    const orgs = { [mine.orgId]: ['org:tools:manage'] }
    const token = await api.token('claimer', { orgs })
    const { key } = await make(['org:tools:manage'], {}, token)
    for (const maker of [token, key]) {
      for (const permission of ['org:chat', 'org:tools:use']) {
        const json = { name: 'CI', permissions: ['org:tools:manage', permission] }
        expect(await statusOf(maker, 'POST', keysPath, json)).toBe(403)
      }
    }
  })

  test('a key may, of what it has, and is named as the maker', async () => {
    const first = await make(['org:tools:manage', 'org:chat'])
    const second = await make(['org:chat'], {}, first.key)
    expect(second.apiKey.createdBy).toBe(`key:${first.apiKey.id}`)
    expect(await statusOf(second.key, 'GET', keysPath)).toBe(403)
  })
})

describe('a caller with a key', () => {
  test('may do in its org what the key grants, wherever the org is named', async () => {
    const chat = await make(['org:chat'])
    const use = await make(['org:tools:use'])
    const { orgId } = mine
    const conversations = `/orgs/${orgId}/conversations`
    expect(await statusOf(chat.key, 'POST', conversations, {})).toBe(201)
    expect(await statusOf(use.key, 'POST', conversations, {})).toBe(403)
    expect(await statusOf(use.key, 'GET', `/tools?orgId=${orgId}`)).toBe(200)
    expect(await statusOf(chat.key, 'GET', `/tools?orgId=${orgId}`)).toBe(403)
    const run = { orgId, args: {} }
    expect(await statusOf(use.key, 'POST', '/tools/clock.now/execute', run)).toBe(200)
    expect(await statusOf(chat.key, 'POST', '/tools/clock.now/execute', run)).toBe(403)
    expect(await statusOf(use.key, 'GET', '/event-types')).toBe(200)
  })

  test('finds no other org, and manages neither orgs nor members', async () => {
    const { key } = await make(PERMISSIONS)
    for (const orgId of [theirs.orgId, 'never-existed']) {
      expect(await statusOf(key, 'GET', `/orgs/${orgId}/integrations`)).toBe(404)
      expect(await statusOf(key, 'GET', `/tools?orgId=${orgId}`)).toBe(404)
    }
    expect(await statusOf(key, 'GET', `/orgs/${mine.orgId}/members`)).toBe(403)
    expect(await statusOf(key, 'GET', '/orgs')).toBe(403)
  })

  test('gets nothing from a membership in its name', async () => {
    const { apiKey, key } = await make(['org:chat'])
    await addMember(api.database, mine.orgId, `key:${apiKey.id}`, 'owner')
    await addMember(api.database, theirs.orgId, `key:${apiKey.id}`, 'owner')
    expect(await statusOf(key, 'GET', `/orgs/${mine.orgId}/members`)).toBe(403)
    expect(await statusOf(key, 'GET', `/orgs/${theirs.orgId}/integrations`)).toBe(404)
  })

  test('is written down as the key', async () => {
    const { apiKey, key } = await make(['org:tools:manage'])
    const json = { providerKey: 'generic-webhook', name: 'By key' }
    expect(await statusOf(key, 'POST', `/orgs/${mine.orgId}/integrations`, json)).toBe(201)
    const { body } = await api.call('GET', `/orgs/${mine.orgId}/audit?limit=1`, { token: key })
    expect(body.entries[0].principal).toBe(`key:${apiKey.id}`)
  })
})

describe('a key that opens nothing', () => {
  const refusal = async (token: string) => {
    const { status, body } = await api.call('GET', '/event-types', { token })
    const { requestId: _, ...rest } = body
    return { status, ...rest }
  }

  test('is answered like any bad token: unknown, malformed, revoked, over', async () => {
    const revoked = await make(['org:chat'])
    const over = await make(['org:chat'])
    await pool.query('update patchbay.api_keys set expires_at = now() where id = $1', [
      over.apiKey.id,
    ])
    const path = `${keysPath}/${revoked.apiKey.id}`
    expect(await statusOf(mine.token, 'DELETE', path)).toBe(200)
    expect(await statusOf(mine.token, 'DELETE', path)).toBe(404)
    const ofJwt = await refusal('a.b.c')
    expect(ofJwt).toMatchObject({ status: 401, error: 'UNAUTHENTICATED' })
    const unknown = newApiKey(() => Buffer.alloc(32, 7))
    for (const key of [revoked.key, over.key, unknown, 'pbk_', `${unknown}x`]) {
      expect(await refusal(key)).toEqual(ofJwt)
    }
  })

  test('is refused by every process from the revocation on', async () => {
    const { apiKey, key } = await make(['org:chat'])
    const log = makeLog('silent')
    const processes = [1, 2].map(() => makeVerifyApiKey({ db: api.database.db, log }))
    for (const verify of processes) await expect(verify(key)).resolves.toBeDefined()
    await api.call('DELETE', `${keysPath}/${apiKey.id}`, { token: mine.token })
    for (const verify of processes) {
      await expect(verify(key)).rejects.toMatchObject({ code: 'UNAUTHENTICATED' })
    }
  })

  test('cannot be revoked from another org', async () => {
    const { apiKey, key } = await make(['org:chat'])
    const path = `/orgs/${theirs.orgId}/api-keys/${apiKey.id}`
    expect(await statusOf(theirs.token, 'DELETE', path)).toBe(404)
    expect(await statusOf(key, 'GET', '/event-types')).toBe(200)
  })

  test('is gone with its org', async () => {
    const org = await api.addOrgOf('leaver')
    const json = { name: 'CI', permissions: ['org:chat'] }
    const path = `/orgs/${org.orgId}/api-keys`
    const { body } = await api.call('POST', path, { token: org.token, json })
    expect(await statusOf(body.key, 'GET', '/event-types')).toBe(200)
    await api.call('DELETE', `/orgs/${org.orgId}`, { token: api.superadmin })
    expect(await refusal(body.key)).toMatchObject({ status: 401 })
  })
})

describe('the last use of a key', () => {
  const use = (key: string) => api.call('GET', '/event-types', { token: key })
  const setUse = (id: string, ago: string) =>
    pool.query(
      'update patchbay.api_keys set last_used_at = now() - $2::interval where id = $1 returning last_used_at as at',
      [id, ago],
    )

  test('is known within a minute, and written once a minute', async () => {
    const [recent, old, never] = [
      await make(['org:chat']),
      await make(['org:chat']),
      await make(['org:chat']),
    ]
    const { rows } = await setUse(recent.apiKey.id, '50 seconds')
    await setUse(old.apiKey.id, '61 seconds')
    for (const { key } of [recent, old, never]) await use(key)
    await vi.waitFor(async () => {
      for (const { apiKey } of [old, never]) {
        const at = await lastUseOf(apiKey.id)
        expect(Date.now() - (at?.getTime() ?? 0)).toBeLessThan(30_000)
      }
    })
    expect(await lastUseOf(recent.apiKey.id)).toEqual(rows[0].at)
  })

  test('is not waited for', async () => {
    const { apiKey, key } = await make(['org:chat'])
    const client = await pool.connect()
    try {
      await client.query('begin')
      await client.query('select from patchbay.api_keys where id = $1 for update', [apiKey.id])
      for (let time = 0; time < 20; time += 1) expect(await use(key)).toMatchObject({ status: 200 })
    } finally {
      await client.query('rollback')
      client.release()
    }
    await vi.waitFor(async () => expect(await lastUseOf(apiKey.id)).not.toBeNull())
  })
})

test('nothing of all this broke inside', () => {
  expect(api.broken).toEqual([])
})

describe('a key that a key made', () => {
  test('ends with it, asked for or not, and no later', async () => {
    const expiresAt = new Date(Date.now() + 600_000).toISOString()
    const { key } = await make(['org:tools:manage'], { expiresAt })
    expect((await make(['org:tools:manage'], {}, key)).apiKey.expiresAt).toBe(expiresAt)
    const sooner = new Date(Date.now() + 300_000).toISOString()
    const child = await make(['org:tools:manage'], { expiresAt: sooner }, key)
    expect(child.apiKey.expiresAt).toBe(sooner)
    const later = new Date(Date.now() + 900_000).toISOString()
    const json = { name: 'CI', permissions: ['org:tools:manage'], expiresAt: later }
    const refused = await api.call('POST', keysPath, { token: key, json })
    expect(refused.status).toBe(400)
    expect(refused.body.details).toMatchObject([{ path: 'expiresAt' }])
  })

  test('goes when it is revoked, with all that came of it', async () => {
    const first = await make(['org:tools:manage'])
    const second = await make(['org:tools:manage'], {}, first.key)
    const third = await make(['org:tools:manage'], {}, second.key)
    expect(await statusOf(third.key, 'GET', keysPath)).toBe(200)
    expect(await statusOf(mine.token, 'DELETE', `${keysPath}/${first.apiKey.id}`)).toBe(200)
    expect(await statusOf(second.key, 'GET', keysPath)).toBe(401)
    expect(await statusOf(third.key, 'GET', keysPath)).toBe(401)
    const { entries } = (
      await api.call('GET', `/orgs/${mine.orgId}/audit?limit=3`, { token: mine.token })
    ).body
    const told = (entries as { target: string }[]).toSorted((a, b) =>
      a.target < b.target ? -1 : 1,
    )
    expect(told).toMatchObject(
      [first, second, third].map(({ apiKey }, i) => ({
        action: 'api_key.revoked',
        principal: 'ann',
        target: apiKey.id,
        detail: i === 0 ? {} : { with: first.apiKey.id },
      })),
    )
  })

  test('is not made by one that is revoked at this moment, and nothing breaks', async () => {
    const path = (id: string) => `${keysPath}/${id}`
    for (let round = 0; round < 10; round += 1) {
      const maker = await make(['org:tools:manage'])
      const json = { name: 'CI', permissions: ['org:tools:manage'] }
      const makings = Array.from({ length: 4 }, () =>
        api.call('POST', keysPath, { token: maker.key, json }),
      )
      const revoked = statusOf(mine.token, 'DELETE', path(maker.apiKey.id))
      for (const { status, body } of await Promise.all(makings)) {
        if (status === 201) await revoked
        else expect(status).toBe(401)
        if (status === 201) expect(await statusOf(body.key, 'GET', keysPath)).toBe(401)
      }
      expect(await revoked).toBe(200)
    }
    expect(api.broken).toEqual([])
  })
})
