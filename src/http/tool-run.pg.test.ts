import pg from 'pg'
import { afterAll, expect, test, vi } from 'vitest'
import { openTestApi } from '../../test/fixtures/api.ts'
import { openReceiver } from '../../test/fixtures/receiver.ts'

const receiver = await openReceiver((response) => response.end('{}'))
const api = await openTestApi()
afterAll(async () => {
  await api[Symbol.asyncDispose]()
  await receiver[Symbol.asyncDispose]()
})

/** A statement that is sent while its connection waits for another's answer costs no wait of its own. */
async function countWaits(work: () => Promise<unknown>) {
  const unanswered = new Map<unknown, number>()
  const counts = { statements: 0, waits: 0 }
  const { prototype }: { prototype: { query(...args: unknown[]): unknown } } = pg.Client
  const { query } = prototype
  const spy = vi.spyOn(prototype, 'query').mockImplementation(function (
    this: unknown,
    ...args: unknown[]
  ) {
    const before = unanswered.get(this) ?? 0
    unanswered.set(this, before + 1)
    counts.statements += 1
    if (before === 0) counts.waits += 1
    const answer = Promise.resolve(query.apply(this, args))
    return answer.finally(() => unanswered.set(this, (unanswered.get(this) ?? 1) - 1))
  })
  try {
    await work()
  } finally {
    spy.mockRestore()
  }
  return counts
}

test('a run of a tool waits seven times for the database', async () => {
  const { orgId, token } = await api.addOrgOf('ann')
  const made = await api.call('POST', `/orgs/${orgId}/integrations`, {
    token,
    json: { providerKey: 'generic-webhook', name: 'Tools' },
  })
  const { id } = made.body.integration
  const tool = {
    name: 'hook.call',
    description: 'Calls.',
    argsSchema: { type: 'object' },
    httpConfig: { method: 'POST', url: receiver.url },
  }
  await api.call('POST', `/orgs/${orgId}/integrations/${id}/tools`, { token, json: tool })
  const run = async () => {
    const path = `/orgs/${orgId}/tools/hook.call/execute`
    expect(await api.call('POST', path, { token, json: { args: {} } })).toMatchObject({
      status: 200,
    })
  }
  await run()
  // May it? Which tool? Which host? That it begins. And three for the transaction of its end: begin, what it writes, commit.
  expect(await countWaits(run)).toEqual({ statements: 17, waits: 7 })
  const { rows } = await api.database.pool.query(
    `select (select count(*)::int from patchbay.tool_runs where org_id = $1) as runs,
       (select count(*)::int from patchbay.audit_log where org_id = $1 and action = 'tool.ran') as audited,
       (select count(*)::int from patchbay.outbox_events where org_id = $1 and type = 'tool.exec.success') as told`,
    [orgId],
  )
  expect(rows).toEqual([{ runs: 2, audited: 2, told: 2 }])
})
