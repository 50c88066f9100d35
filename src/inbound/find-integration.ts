import type { Queryable } from '../db/pool.ts'

/** An integration that something was posted to, before anybody knows whose it is. */
export interface InboundIntegration {
  readonly id: string
  readonly orgId: string
  readonly providerKey: string
  readonly isEnabled: boolean
  /** What the app calls the place it is installed in; null: not known. */
  readonly externalId: string | null
  readonly config: Readonly<Record<string, unknown>>
  readonly credentials: Buffer | null
  readonly inboundSecrets: Buffer | null
}

const COLUMNS = `
  i.id, i.org_id as "orgId", i.provider_key as "providerKey", i.is_enabled as "isEnabled",
  i.external_id as "externalId", i.config, i.credentials, i.inbound_secrets as "inboundSecrets"`

const BY_ID = `
select ${COLUMNS}
from patchbay.org_integrations as i
where i.id = $1 and i.deleted_at is null`

const BY_PLACE = `
select ${COLUMNS}
from patchbay.org_integrations as i
where i.provider_key = $1 and i.external_id = any ($2::text[]) and i.deleted_at is null
order by array_position($2::text[], i.external_id)
limit 1`

/** @param db sees every org: an app's request names none, and its signature is checked with what is found here */
export function makeFindIntegration(db: Queryable) {
  type Row = InboundIntegration & Record<string, unknown>
  return {
    async byId(id: string): Promise<InboundIntegration | null> {
      const { rows } = await db.query<Row>({ text: BY_ID, values: [id] })
      return rows[0] ?? null
    },

    /** By what the app calls the place it is installed in; the first that is known. */
    async byPlace(
      providerKey: string,
      externalIds: readonly string[],
    ): Promise<InboundIntegration | null> {
      const { rows } = await db.query<Row>({ text: BY_PLACE, values: [providerKey, externalIds] })
      return rows[0] ?? null
    },
  }
}
