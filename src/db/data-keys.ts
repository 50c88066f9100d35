import { sql } from 'drizzle-orm'
import type { Pool, PoolClient } from 'pg'
import { makeDb, type Queryable } from './pool.ts'

interface WrappedKey {
  readonly id: string
  readonly wrapped: Buffer
  readonly masterKeyId: string
}

interface OrgKey extends WrappedKey {
  readonly orgId: string
}

interface Sample extends OrgKey {
  readonly count: number
}

const LIST = `
select id, wrapped, master_key_id as "masterKeyId"
from patchbay.data_keys
where org_id = $1
order by created_at desc, id desc`

const SAMPLES = `
select distinct on (master_key_id)
  org_id as "orgId", id, wrapped, master_key_id as "masterKeyId", (count(*) over (partition by master_key_id))::int as count
from patchbay.data_keys
order by master_key_id, org_id, created_at desc, id desc`

// The lock makes a rotation of the master key, which re-wraps the installation's own keys first, wait for this transaction:
// it then finds the row. Who comes after it finds another master key there, and adds nothing under the one before.
const ADD = `
with own as (
  select from patchbay.data_keys where org_id = '' and master_key_id = $5 limit 1 for share
)
insert into patchbay.data_keys (org_id, id, wrapped, master_key_id)
select $1, $2::uuid, $3::bytea, $4 from own`

/** Wrapped data keys in the database. Two processes that make an org's first key at once leave two, which is harmless. */
export function makeDataKeyStore(db: Pool | PoolClient) {
  return {
    list: async (orgId: string): Promise<WrappedKey[]> =>
      (await db.query<WrappedKey>({ name: 'list_data_keys', text: LIST, values: [orgId] })).rows,
    samples: async (): Promise<Sample[]> =>
      (await db.query<Sample>({ name: 'sample_data_keys', text: SAMPLES })).rows,
    add: async (
      orgId: string,
      { id, wrapped, masterKeyId }: WrappedKey,
      ownMasterKeyId: string,
    ): Promise<boolean> => {
      const values = [orgId, id, wrapped, masterKeyId, ownMasterKeyId]
      return (await db.query({ name: 'add_data_key', text: ADD, values })).rowCount === 1
    },
    addFirst: ({ id, wrapped, masterKeyId }: WrappedKey): Promise<void> =>
      makeDb(db).transaction(async (tx) => {
        // A statement of its own: the next one then sees what was added by whoever held the lock before.
        await tx.execute(sql`select pg_advisory_xact_lock(hashtext('patchbay.first_data_key'))`)
        await tx.execute(sql`
          insert into patchbay.data_keys (org_id, id, wrapped, master_key_id)
          select '', ${id}::uuid, ${wrapped}::bytea, ${masterKeyId}
          where not exists (select from patchbay.data_keys where org_id = '')`)
      }),
  }
}

const OUTDATED = `
select org_id as "orgId", id, wrapped, master_key_id as "masterKeyId"
from patchbay.data_keys
where master_key_id <> $1 and (org_id, id) > ($2, $3::uuid)
order by org_id, id
limit $4`

const REWRAP = `
update patchbay.data_keys set wrapped = $5, master_key_id = $6
where org_id = $1 and id = $2 and wrapped = $3 and master_key_id = $4`

const COUNT = `
select count(*)::int as total, (count(*) filter (where master_key_id <> $1))::int as outdated
from patchbay.data_keys`

/** What a rotation of the master key does to the rows: each of them changed only as it was read. */
export function makeRewrapStore(db: Queryable) {
  return {
    /** Not wrapped by this master key; the installation's own come first. */
    listOutdated: async (currentId: string, after: { orgId: string; id: string }, limit: number) =>
      (
        await db.query<OrgKey>({
          text: OUTDATED,
          values: [currentId, after.orgId, after.id, limit],
        })
      ).rows,
    replace: async (row: OrgKey, now: Omit<WrappedKey, 'id'>): Promise<boolean> => {
      const values = [row.orgId, row.id, row.wrapped, row.masterKeyId, now.wrapped, now.masterKeyId]
      return (await db.query({ text: REWRAP, values })).rowCount === 1
    },
    count: async (currentId: string) => {
      const { rows } = await db.query<{ total: number; outdated: number }>({
        text: COUNT,
        values: [currentId],
      })
      return rows[0] ?? { total: 0, outdated: 0 }
    },
  }
}
