import type pg from 'pg'
import type { Queryable } from '../../src/db/pool.ts'
import type { InOrg } from '../../src/db/tenants.ts'
import { makeHistory } from '../../src/history/history.ts'
import { makeStats } from '../../src/history/stats.ts'

const ORG = 'big'
/** All of its deliveries are of one subscription. */
const SMALL_ORG = 'small'

/** Of a delivery in the history. */
interface Ids {
  readonly webhookId: string
  readonly deliveryId: string
  readonly eventId: string
  readonly smallWebhookId: string
}

/** As many deliveries in the history of one org, as many of another, a fiftieth of a small one, and some that are owed to each. */
export async function fillBothOrgs(client: pg.ClientBase, rows: number): Promise<Ids> {
  await client.query(
    `insert into patchbay.integration_providers (key, name, description, manifest)
     values ('generic-webhook', 'Webhook', '', '{}')`,
  )
  for (const { orgId, lanes, deliveries } of [
    { orgId: ORG, lanes: 10, deliveries: rows },
    { orgId: 'other', lanes: 10, deliveries: rows },
    { orgId: SMALL_ORG, lanes: 1, deliveries: rows / 50 },
  ]) {
    await client.query('insert into patchbay.orgs (id, name) values ($1, $1)', [orgId])
    await client.query(
      `with i as (
         insert into patchbay.org_integrations (org_id, provider_key, name) values ($1, 'generic-webhook', 'Hooks')
         returning id
       )
       insert into patchbay.webhook_subscriptions (org_id, integration_id, url, event_types, secrets)
       select $1, i.id, 'https://hooks.example.com/', '{*}', '' from i, generate_series(1, $2)`,
      [orgId, lanes],
    )
    await client.query(
      `with s as (select array_agg(id) as ids from patchbay.webhook_subscriptions where org_id = $1),
       e as (
         insert into patchbay.outbox_events (id, org_id, type, data, occurred_at)
         select patchbay.new_id(), $1, 'a.b', '{}', now() from generate_series(1, $2::int)
         returning id
       ),
       n as (select id, row_number() over () as n from e)
       insert into patchbay.webhook_delivery_log
         (delivery_id, org_id, subscription_id, event_id, attempt, outcome, is_final, trigger, duration_ms)
       select patchbay.new_id(), $1, s.ids[n.n % cardinality(s.ids) + 1], n.id, 1, 'delivered', true, 'schedule', 5 from n, s`,
      [orgId, deliveries],
    )
    await client.query(
      `insert into patchbay.delivery_queue (org_id, subscription_id, event_id, ready)
       select $1, id, patchbay.new_id(), false from patchbay.webhook_subscriptions, generate_series(1, 1000)
       where org_id = $1`,
      [orgId],
    )
  }
  await client.query('delete from patchbay.outbox_pending')
  await client.query('analyze')
  const found = await client.query(
    'select delivery_id, event_id, subscription_id from patchbay.webhook_delivery_log where org_id = $1 limit 1',
    [ORG],
  )
  const { delivery_id, event_id, subscription_id } = found.rows[0]
  const small = await client.query(
    'select id from patchbay.webhook_subscriptions where org_id = $1',
    [SMALL_ORG],
  )
  return {
    deliveryId: delivery_id,
    eventId: event_id,
    webhookId: subscription_id,
    smallWebhookId: small.rows[0].id,
  }
}

const EVERYTHING = {
  webhookId: null,
  integrationId: null,
  status: null,
  eventType: null,
  eventId: null,
  since: null,
  until: null,
}
const FIRST = { limit: 50, after: null }

/** What is asked of the history, as features ask it. */
export interface Ask {
  readonly name: string
  readonly send: (inOrg: InOrg, ids: Ids) => Promise<unknown>
}

export const HISTORY_ASKS: readonly Ask[] = [
  {
    name: 'a page of deliveries',
    send: (inOrg) => history(inOrg).listDeliveries(ORG, EVERYTHING, FIRST),
  },
  {
    name: 'deliveries of one subscription',
    send: (inOrg, { webhookId }) =>
      history(inOrg).listDeliveries(ORG, { ...EVERYTHING, webhookId }, FIRST),
  },
  {
    name: 'deliveries of the one subscription of a small org',
    send: (inOrg, { smallWebhookId }) =>
      history(inOrg).listDeliveries(SMALL_ORG, { ...EVERYTHING, webhookId: smallWebhookId }, FIRST),
  },
  {
    name: 'one delivery',
    send: (inOrg, { deliveryId }) => history(inOrg).getDelivery(ORG, deliveryId),
  },
  {
    name: 'a page of events',
    send: (inOrg) => {
      const all = { type: null, conversationId: null, since: null, until: null }
      return history(inOrg).listEvents(ORG, all, FIRST)
    },
  },
  {
    name: 'why an event came',
    send: (inOrg, { eventId, webhookId }) => history(inOrg).explain(ORG, eventId, webhookId),
  },
  {
    name: 'statistics',
    send: (inOrg, { webhookId }) =>
      makeStats({ inOrg, nowMs: Date.now, retentionDays: 30 })(ORG, webhookId, null),
  },
]

function history(inOrg: InOrg) {
  return makeHistory({ inOrg, audit: () => Promise.resolve() })
}

/** The pages that what a feature asks touches. */
export async function pagesOf(ask: Ask, inOrg: InOrg, ids: Ids): Promise<number> {
  let pages = 0
  const observing: InOrg = (orgId, work) =>
    inOrg(orgId, (tx, client) => {
      const query = async (config: pg.QueryConfig) => {
        const { rows } = await client.query<{ 'QUERY PLAN': [{ Plan: Record<string, unknown> }] }>({
          text: `explain (analyze, buffers, timing off, format json) ${config.text}`,
          values: config.values ?? [],
        })
        const root = rows[0]?.['QUERY PLAN'][0].Plan ?? {}
        pages += Number(root['Shared Hit Blocks']) + Number(root['Shared Read Blocks'])
        return client.query(config)
      }
      // Of a client, the features here use `query` with a config alone.
      return work(tx, { query } as unknown as Queryable)
    })
  await ask.send(observing, ids)
  return pages
}

/** Whether row-level security costs pages: a tenth more, and thirty, are no more than chance. */
export function isDearer(closed: number, free: number): boolean {
  return closed > free * 1.1 + 30
}
