import { randomBytes } from 'node:crypto'
import { afterAll, expect, test, vi } from 'vitest'
import { openTestApi } from '../../test/fixtures/api.ts'

const api = await openTestApi({ WEBHOOKS_PER_ORG: '2', TOOLS_PER_ORG: '1' })
afterAll(() => api[Symbol.asyncDispose]())
const { pool } = api.database
const [greedy, other] = [await api.addOrgOf('ann'), await api.addOrgOf('bob')]

async function addIntegration({ orgId, token }: typeof greedy): Promise<string> {
  const json = { providerKey: 'generic-webhook', name: 'Hooks' }
  const { body } = await api.call('POST', `/orgs/${orgId}/integrations`, { token, json })
  return `/orgs/${orgId}/integrations/${body.integration.id}`
}

test('an org whose requests wait for a lock leaves the others their connections', async () => {
  const { token } = greedy
  const hooks = `${await addIntegration(greedy)}/webhooks`
  const made = await api.call('POST', hooks, {
    token,
    json: { url: 'https://hooks.example.com/', eventTypes: ['*'] },
  })
  const { id } = made.body.webhook
  const holder = await pool.connect()
  await holder.query('begin')
  await holder.query(
    'select from patchbay.subscription_health where subscription_id = $1 for update',
    [id],
  )
  const waiting = Array.from({ length: 40 }, (_, at) =>
    api.call('PATCH', `${hooks}/${id}`, { token, json: { description: String(at) } }),
  )
  await vi.waitFor(async () => {
    const { rows } = await pool.query(
      `select count(*)::int as waiting from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`,
    )
    expect(rows).toEqual([{ waiting: 5 }])
  })
  for (let at = 0; at < 20; at += 1) {
    const list = await api.call('GET', `/orgs/${other.orgId}/integrations`, other)
    expect(list.status).toBe(200)
  }
  await holder.query('commit')
  holder.release()
  // Whoever changes it after another looks at it again, ten times at most.
  for (const { status } of await Promise.all(waiting)) expect([200, 409]).toContain(status)
  expect(api.broken).toEqual([])
})

test('a lock that cannot be had is an outage, not a bug', async () => {
  const { token } = greedy
  const path = await addIntegration(greedy)
  const holder = await pool.connect()
  await holder.query('begin')
  await holder.query('lock table patchbay.org_integrations in access exclusive mode')
  const answer = await api.call('PATCH', path, { token, json: { name: 'x' } })
  await holder.query('rollback')
  holder.release()
  expect(answer).toMatchObject({ status: 503, body: { error: 'UNAVAILABLE' } })
})

test('an org has so many webhooks and tools, and is told the setting', async () => {
  const { token } = other
  const path = await addIntegration(other)
  const json = { url: 'https://hooks.example.com/', eventTypes: ['*'] }
  const make = () => api.call('POST', `${path}/webhooks`, { token, json })
  const first = await make()
  expect(await make()).toMatchObject({ status: 201 })
  const refused = await make()
  expect(refused).toMatchObject({ status: 422, body: { error: 'UNPROCESSABLE' } })
  expect(refused.body.detail).toContain('WEBHOOKS_PER_ORG')
  await api.call('DELETE', `${path}/webhooks/${first.body.webhook.id}`, { token })
  expect(await make()).toMatchObject({ status: 201 })

  const tool = (name: string) =>
    api.call('POST', `${path}/tools`, {
      token,
      json: {
        name,
        description: randomBytes(4).toString('hex'),
        argsSchema: { type: 'object' },
        httpConfig: { method: 'GET', url: 'https://api.example.com/' },
      },
    })
  expect(await tool('one')).toMatchObject({ status: 201 })
  expect(await tool('two')).toMatchObject({ status: 422, body: { error: 'UNPROCESSABLE' } })
})
