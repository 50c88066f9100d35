import type { Queryable } from '../db/pool.ts'

export interface LaneRow {
  readonly subscription_id: string
  readonly org_id: string
  readonly integration_id: string
  readonly provider_key: string
  /** Of the integration, sealed. */
  readonly credentials: Buffer | null
  readonly url: string
  readonly sealed_url: Buffer | null
  readonly secrets: Buffer
  readonly headers: Buffer | null
  readonly max_age_seconds: number | null
  readonly retry_schedule: number[] | null
  readonly content: 'thin' | 'full'
  /** The org's list of hosts; null: it has none. */
  readonly egress_domains: string[] | null
  readonly subscription_revision: number
  readonly integration_revision: number
}

const LANES = `
select
  s.id as subscription_id, s.org_id, s.integration_id, i.provider_key, i.credentials, s.url, s.sealed_url, s.secrets, s.headers, s.max_age_seconds,
  s.retry_schedule, s.content, l.domains as egress_domains, s.revision as subscription_revision,
  i.revision as integration_revision
from patchbay.webhook_subscriptions as s
cross join lateral (select * from patchbay.org_integrations as i where i.id = s.integration_id offset 0) as i
left join lateral (select * from patchbay.egress_allow_lists as l where l.org_id = s.org_id offset 0) as l on true
where s.id = any ($1::uuid[])`

export async function loadLanes(db: Queryable, ids: readonly string[]): Promise<LaneRow[]> {
  const { rows } = await db.query<LaneRow>({ name: 'load_lanes', text: LANES, values: [ids] })
  return rows
}
