import { afterAll, expect, test } from 'vitest'
import { openReceiver } from '../fixtures/receiver.ts'
import { openStory, type StoryOrg } from './story.ts'

const stack = new AsyncDisposableStack()
const story = stack.use(await openStory())
afterAll(() => stack.disposeAsync())
const receiver = stack.use(await openReceiver())

const TOOL = {
  name: 'jira.find',
  description: 'Finds',
  argsSchema: { type: 'object' },
  httpConfig: { method: 'GET', url: receiver.url },
}

interface Operation {
  readonly method: string
  readonly path: string
}

/** For what the org has none of. */
const NOBODY = '01a1f3c2-9d4e-7c11-8a51-6f0e2b7d9c05'

/** Every route that the product says it has. */
async function operations(): Promise<Operation[]> {
  const { body } = await story.call('GET', '/openapi.json')
  return Object.entries<object>(body.paths).flatMap(([path, methods]) =>
    Object.keys(methods).map((method) => ({ method: method.toUpperCase(), path })),
  )
}

const fill = (path: string, ids: Readonly<Record<string, string>>) =>
  path.replaceAll(/\{(\w+)\}/g, (_, name: string) => ids[name] ?? NOBODY)

/** Bodies that the routes accept, so that it is not the body they refuse. */
function bodyFor({ method, path }: Operation): object | undefined {
  if (method === 'GET' || method === 'DELETE') return undefined
  const last = path.split('/').at(-1) ?? ''
  const bodies: Readonly<Record<string, object>> = {
    integrations: { providerKey: 'generic-webhook', name: 'Taken' },
    '{integrationId}': { name: 'Taken' },
    webhooks: { url: receiver.url, eventTypes: ['*'] },
    '{webhookId}': { isActive: false },
    'rotate-secret': { overlapSeconds: 0 },
    recover: { since: new Date(Date.now() - 1000).toISOString(), statuses: ['failed'] },
    events: { type: 'story.told', data: {} },
    '{userId}': { role: 'owner' },
    tools: TOOL,
    '{toolId}': { description: 'Taken' },
    execute: { args: {} },
    import: { openapi: 'openapi: 3.1.0' },
    '{approvalId}': { decision: 'approve' },
    turns: { content: 'hi' },
  }
  return bodies[last] ?? {}
}

/** An org with one of everything; the ids, by the names of the path's parameters. */
async function furnish(org: StoryOrg): Promise<Record<string, string>> {
  const webhook = await org.subscribe(receiver.url)
  const eventId = await org.emit()
  const delivery = await org.ended(eventId)
  const { body: made } = await org.call(
    'POST',
    `${org.path}/integrations/${org.integrationId}/tools`,
    TOOL,
  )
  // A run that is asked for would be told as an event, later than what is compared here.
  const { rows: runs } = await story.pool.query<{ id: string }>(
    `insert into patchbay.tool_runs (id, org_id, tool, user_id, source, outcome, duration_ms, arguments)
     values (patchbay.new_id(), $1, 'x.y', 'ann', 'api', 'success', 1, '{}') returning id`,
    [org.id],
  )
  const { body: begun } = await org.call('POST', `${org.path}/conversations`, {})
  const since = new Date(Date.now() - 60_000).toISOString()
  const { body: recovered } = await org.call('POST', `${webhook.path}/recover`, { since })
  return {
    integrationId: org.integrationId,
    webhookId: webhook.id,
    eventId,
    deliveryId: delivery.id,
    recoveryId: recovered.recovery.id,
    toolId: made.tool.id,
    runId: runs[0]?.id ?? '',
    conversationId: begun.conversation.id,
    userId: `owner of ${org.id}`,
    name: TOOL.name,
  }
}

/** Everything of an org that a request could have changed. */
async function stateOf(org: StoryOrg): Promise<unknown> {
  const { rows } = await story.pool.query(
    `select (select jsonb_agg(to_jsonb(i)) from patchbay.org_integrations as i where org_id = $1) as integrations,
       (select jsonb_agg(to_jsonb(s)) from patchbay.webhook_subscriptions as s where org_id = $1) as subscriptions,
       (select jsonb_agg(to_jsonb(t)) from patchbay.external_tool_definitions as t where org_id = $1) as tools,
       (select jsonb_agg(to_jsonb(m)) from patchbay.org_members as m where org_id = $1) as members,
       (select jsonb_agg(to_jsonb(a)) from patchbay.audit_log as a where org_id = $1) as audit,
       (select count(*) from patchbay.outbox_events where org_id = $1) as events,
       (select count(*) from patchbay.webhook_delivery_log where org_id = $1) as log`,
    [org.id],
  )
  return rows[0]
}

test('38. the owner of one org reads and changes nothing of another, on any route, by any id', async () => {
  const victim = await story.addOrg()
  const stranger = await story.addOrg()
  const ids = await furnish(victim)
  const before = await stateOf(victim)
  const ofOrg = (await operations()).filter(({ path }) => path.startsWith('/orgs/{orgId}/'))
  expect(ofOrg.length).toBeGreaterThan(30)
  for (const operation of ofOrg) {
    const { method, path } = operation
    const query = path.endsWith('/explain') ? `?webhookId=${ids.webhookId}` : ''
    const ask = (orgId: string) =>
      stranger.call(method, fill(path, { ...ids, orgId }) + query, bodyFor(operation))
    const there = await ask(victim.id)
    expect({ method, path, status: there.status }).toEqual({ method, path, status: 404 })
    // In its own org the other one's ids name nothing. A user id is the host's, and may be anybody's.
    if (!/\{(?!orgId|userId)\w+\}/.test(path)) continue
    const here = await ask(stranger.id)
    expect({ method, path, status: here.status }).toEqual({ method, path, status: 404 })
  }
  for (const [method, path, json] of [
    ['GET', '/orgs', undefined],
    ['POST', '/orgs', { name: 'Mine' }],
    ['DELETE', victim.path, undefined],
    ['GET', `/tools?orgId=${victim.id}`, undefined],
    ['POST', `/tools/${TOOL.name}/execute`, { orgId: victim.id, args: {} }],
  ] as const) {
    expect([403, 404]).toContain((await stranger.call(method, path, json)).status)
  }
  expect(await stateOf(victim)).toEqual(before)
})
