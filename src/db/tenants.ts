import pg from 'pg'
import { type DbTx, makeDb, openPool, type PoolOptions, type Queryable } from './pool.ts'

/**
 * Runs work in one transaction that can see and write this org's rows alone, as the role that owns nothing. The same
 * transaction comes twice: for the query builder, and for statements written by hand.
 *
 * Never from within work of its own: that would hold one connection while it waits for another.
 */
export type InOrg = <Result>(
  orgId: string,
  work: (tx: DbTx, client: Queryable) => Promise<Result>,
) => Promise<Result>

export interface Tenants extends AsyncDisposable {
  readonly inOrg: InOrg
}

/** The role cannot be taken on, or would not hold what it is for. Says what to do. */
export class TenancyError extends Error {
  override readonly name = 'TenancyError'
}

type TenantsOptions = Omit<PoolOptions, 'settings'> & { readonly role: string }

/**
 * The API's way to the database. Every connection takes on the API's role when it is opened, so a statement outside of
 * `inOrg` would find no row of any org.
 */
export function openTenants({ role, ...options }: TenantsOptions): Tenants {
  const pool = openPool({ ...options, settings: [`role=${role.replace(/[\\ ]/g, '\\$&')}`] })
  const dbs = new WeakMap<pg.PoolClient, DbTx>()
  const dbOf = (client: pg.PoolClient): DbTx => {
    const known = dbs.get(client)
    if (known !== undefined) return known
    const db = makeDb(client)
    dbs.set(client, db)
    return db
  }
  return {
    inOrg: async (orgId, work) => {
      const client = await pool.connect()
      let broken: Error | boolean = false
      try {
        // One round trip. The setting lives and ends with the transaction.
        await client.query(
          `begin; select set_config('app.org_id', ${pg.escapeLiteral(orgId)}, true)`,
        )
        const result = await work(dbOf(client), client)
        await client.query('commit')
        return result
      } catch (error) {
        // A connection that cannot even roll back is not used again.
        await client.query('rollback').catch((cause: unknown) => {
          broken = cause instanceof Error ? cause : true
        })
        throw error
      } finally {
        client.release(broken)
      }
    },
    [Symbol.asyncDispose]: () => pool.end(),
  }
}

const API_ROLE = `
select r.rolname as role,
  r.rolsuper or r.rolbypassrls as bypasses,
  pg_has_role(current_user, r.oid, case when current_setting('server_version_num')::int < 160000 then 'member' else 'set' end)
    as is_ours,
  array(
    select c.relname::text
    from pg_class as c
    where c.relnamespace = 'patchbay'::regnamespace and c.relkind in ('r', 'p', 'v')
      and pg_has_role(r.oid, c.relowner, 'member')
    order by 1
  ) as owns,
  array(
    select c.relname::text
    from pg_class as c
    where c.relnamespace = 'patchbay'::regnamespace and c.relkind in ('r', 'p') and not c.relispartition
      and (c.relname = 'orgs' or exists (
        select from pg_attribute as a where a.attrelid = c.oid and a.attname = 'org_id' and not a.attisdropped
      ))
      and not (c.relrowsecurity and c.relforcerowsecurity and exists (
        select from pg_policy as p where p.polrelid = c.oid and p.polname = 'own_org' and p.polroles = array[r.oid]
      ))
    order by 1
  ) as open_tables,
  array(
    select c.relname::text
    from pg_class as c
    where c.relnamespace = 'patchbay'::regnamespace and c.relrowsecurity and row_security_active(c.oid)
      and not exists (
        select from pg_policy as p
        where p.polrelid = c.oid and p.polname = 'all_orgs'
          and exists (select from unnest(p.polroles) as role (oid) where pg_has_role(current_user, role.oid, 'usage'))
      )
    order by 1
  ) as hidden
from pg_roles as r
where r.rolname = patchbay.api_role()`

interface RoleRow extends pg.QueryResultRow {
  readonly role: string
  readonly bypasses: boolean
  readonly is_ours: boolean
  readonly owns: readonly string[]
  readonly open_tables: readonly string[]
  readonly hidden: readonly string[]
}

/**
 * The role that the API acts as, after a look that it is one which row-level security holds.
 *
 * @throws TenancyError where it could bypass it, where a table is not closed, or where this login may not take it on
 */
export async function findApiRole(db: Queryable): Promise<string> {
  const { rows } = await db.query<RoleRow>({ text: API_ROLE })
  const [row] = rows
  if (row === undefined) {
    throw new TenancyError(
      'The role that patchbay.api_role() names does not exist on this server. Make it again: create role … nologin; grant … to the role of DATABASE_URL;',
    )
  }
  const problem = roleProblem(row)
  if (problem !== null) throw new TenancyError(problem)
  return row.role
}

function roleProblem(row: RoleRow): string | null {
  const { role } = row
  if (row.bypasses) {
    return `The role ${role} could bypass row-level security. Run: alter role "${role}" nosuperuser nobypassrls;`
  }
  if (row.owns.length > 0) {
    return `The role ${role} owns ${row.owns.join(', ')}, or is a member of the owner, and so could bypass row-level security. Give them another owner.`
  }
  if (row.open_tables.length > 0) {
    return `Row-level security does not hold on ${row.open_tables.join(', ')}. Enable and force it, with the policies that migrations/0011_tenants.sql gives every table.`
  }
  if (row.hidden.length > 0) {
    return `The role of DATABASE_URL is not the owner that ${row.hidden.join(', ')} were closed for, and would see no rows. Connect as the owner, or run for each of them: alter policy all_orgs on patchbay.… to current_user;`
  }
  if (!row.is_ours) {
    return `The role of DATABASE_URL may not act as ${role}. Run as an administrator: grant "${role}" to the role of DATABASE_URL;`
  }
  return null
}
