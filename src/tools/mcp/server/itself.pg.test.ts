import { afterAll, expect, test } from 'vitest'
import { openTestApi } from '../../../../test/fixtures/api.ts'
import { makeMcpInstalls } from '../../../../test/fixtures/mcp-installs.ts'
import { listen } from '../../../http/listen.ts'
import { makeLog } from '../../../telemetry/log.ts'

const stack = new AsyncDisposableStack()
afterAll(() => stack.disposeAsync())
const api = stack.use(await openTestApi())
const server = stack.use(await listen('127.0.0.1', 0, api.fetch, { log: makeLog('silent') }))
const { orgId, token } = await api.addOrgOf('me')
const { refresh, catalogOf } = makeMcpInstalls(api, server)

const call = async (method: string, path: string, json?: unknown) => {
  const request = json === undefined ? { token } : { token, json }
  return api.call(method, `/orgs/${orgId}${path}`, request)
}

test('an org that has itself for a server gets its own tools of it, once, and can call them', async () => {
  const url = `${server.url}/orgs/${orgId}/mcp`
  const headers = { Authorization: 'Bearer {{credentials.token}}' }
  const config = { url, headers, approval: 'auto', prefix: 's' }
  const json = { providerKey: 'mcp', name: 'Itself', credentials: { token }, config }
  const { body } = await call('POST', '/integrations', json)
  const { id } = body.integration
  const path = `/orgs/${orgId}/integrations/${id}`
  const itself = { org: `/orgs/${orgId}`, orgId, token, id, path }
  for (const _ of [1, 2, 3]) expect(await refresh(itself)).toMatchObject({ status: 200 })
  expect(await catalogOf(itself)).toEqual(['s.clock_now', 's.conversation_search'])
  const ran = await call('POST', '/tools/s.clock_now/execute', { args: { timeZone: 'UTC' } })
  expect(ran).toMatchObject({ status: 200 })
  // Somebody who goes by the name of one that was there before.
  await api.database.pool.query(
    "update patchbay.external_tool_definitions set source_key = 's_clock_now' where name = 's.clock_now'",
  )
  const again = await call('POST', '/tools/s.clock_now/execute', { args: { timeZone: 'UTC' } })
  expect(again).toMatchObject({ status: 502, body: { error: 'TOOL_FAILED' } })
  expect(again.body.detail).toContain('No such tool: s_clock_now')
})
