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

/** Prepared once by each connection; where it shall be planned for its values each time, a text alone. */
export type Statement = string | { readonly name: string; readonly text: string }

/**
 * One statement in the same walls, as one round trip and one write to the socket: opening and ending its
 * transaction go out with it.
 *
 * @param onFree called once the connection is free again; also where there was none to be had
 */
export type SendInOrg = <Row extends pg.QueryResultRow>(
  orgId: string,
  statement: Statement,
  values: readonly unknown[],
  onFree?: () => void,
) => Promise<Row[]>

export interface Tenants extends AsyncDisposable {
  readonly inOrg: InOrg
  readonly readInOrg: SendInOrg
  /** The same for one that writes; it is committed when this resolves. */
  readonly writeInOrg: SendInOrg
}

/** The role cannot be taken on, or would not hold what it is for. Says what to do. */
export class TenancyError extends Error {
  override readonly name = 'TenancyError'
}

/** Who waits for a lock has a connection that others wait for. */
const LOCK_WAIT_MS = 5000

type TenantsOptions = Omit<PoolOptions, 'settings'> & { readonly role: string }

/**
 * The API's way to the database. Every connection takes on the API's role when it is opened, so a statement outside of
 * `inOrg` would find no row of any org.
 */
export function openTenants({ role, ...options }: TenantsOptions): Tenants {
  const pool = openPool({
    ...options,
    isPipelined: true,
    settings: [
      `role=${role.replace(/[\\\s]/g, '\\$&')}`,
      `lock_timeout=${LOCK_WAIT_MS}`,
      // A request reads a page: to compile its plan, or to start helpers for it, takes longer than the page.
      'jit=off',
      'max_parallel_workers_per_gather=0',
    ],
  })
  // Again in each transaction: a pooler between us and the server may drop what a connection asks for when it is opened.
  const takeRole = `set local role ${pg.escapeIdentifier(role)}`
  // One round trip. The setting lives and ends with the transaction.
  const open = (client: pg.PoolClient, begin: 'begin' | 'begin read only', orgId: string) =>
    client.query(
      `${begin}; ${takeRole}; select set_config('app.org_id', org, true), set_config('patchbay.org_id', org, true) from (select ${pg.escapeLiteral(orgId)}) as of (org)`,
    )
  const dbs = new WeakMap<pg.PoolClient, DbTx>()
  const dbOf = (client: pg.PoolClient): DbTx => {
    const known = dbs.get(client)
    if (known !== undefined) return known
    const db = makeDb(client)
    dbs.set(client, db)
    return db
  }
  const sendInOrg =
    (begin: 'begin' | 'begin read only'): SendInOrg =>
    async <Row extends pg.QueryResultRow>(
      orgId: string,
      statement: Statement,
      values: readonly unknown[],
      onFree: () => void = () => undefined,
    ) => {
      let client: pg.PoolClient | null = null
      let broken = true
      try {
        client = await pool.connect()
        const { stream } = client.connection
        stream.cork()
        // A statement whose transaction could not be opened finds nothing of any org, and its result is not used.
        const sent = [
          open(client, begin, orgId),
          client.query<Row>({
            ...(typeof statement === 'string' ? { text: statement } : statement),
            values: [...values],
          }),
          client.query('commit'),
        ] as const
        stream.uncork()
        const [opened, read, ended] = await Promise.allSettled(sent)
        // Where the last one was answered, what failed before is rolled back.
        broken = ended.status === 'rejected'
        if (opened.status === 'rejected') throw opened.reason
        if (read.status === 'rejected') throw read.reason
        if (ended.status === 'rejected') throw ended.reason
        return read.value.rows
      } finally {
        client?.release(broken)
        onFree()
      }
    }

  return {
    inOrg: async (orgId, work) => {
      const client = await pool.connect()
      let broken: Error | boolean = false
      try {
        await open(client, 'begin', orgId)
        sendAsOne(client)
        const result = await work(dbOf(client), client)
        const { command } = await client.query('commit')
        // What Postgres answers where a statement failed and its error was swallowed.
        if (command !== 'COMMIT') throw new Error('the transaction had failed and was rolled back')
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

    readInOrg: sendInOrg('begin read only'),
    writeInOrg: sendInOrg('begin'),
    [Symbol.asyncDispose]: () => pool.end(),
  }
}

/** What is sent until the next wait goes out in one write: a write costs more than what is in it. */
function sendAsOne(client: pg.PoolClient): void {
  const { stream } = client.connection
  stream.cork()
  process.nextTick(() => stream.uncork())
}

const API_ROLE = `
with closed as (
  select c.oid, c.relname::text as name, c.relowner, c.relrowsecurity,
    c.relname = 'orgs' or exists (
      select from pg_attribute as a where a.attrelid = c.oid and a.attname = 'org_id' and not a.attisdropped
    ) as is_of_orgs
  from pg_class as c
  where c.relnamespace = 'patchbay'::regnamespace and c.relkind in ('r', 'p') and not c.relispartition
)
select r.rolname as role,
  r.rolsuper or r.rolbypassrls as bypasses,
  r.rolcanlogin as may_log_in,
  pg_has_role(current_user, r.oid, case when current_setting('server_version_num')::int < 160000 then 'member' else 'set' end)
    as is_ours,
  array(
    select m.rolname::text
    from pg_auth_members as g
    join pg_roles as m on m.oid = g.member
    where g.roleid = r.oid and not m.rolsuper
      and exists (select from closed as c where not pg_has_role(m.oid, c.relowner, 'member'))
    order by 1
  ) as strangers,
  array(
    select c.relname::text
    from pg_class as c
    where c.relnamespace = 'patchbay'::regnamespace and c.relkind in ('r', 'p', 'v')
      and pg_has_role(r.oid, c.relowner, 'member')
    order by 1
  ) as owns,
  array(
    select c.name from closed as c
    where c.is_of_orgs and not (c.relrowsecurity and exists (
      select from pg_policy as p where p.polrelid = c.oid and p.polname = 'own_org' and p.polroles = array[r.oid]
    ))
    order by 1
  ) as open_tables,
  array(select c.name from closed as c where c.relrowsecurity and row_security_active(c.oid) order by 1) as hidden
from pg_roles as r
where r.rolname = patchbay.api_role()`

interface RoleRow extends pg.QueryResultRow {
  readonly role: string
  readonly bypasses: boolean
  readonly may_log_in: boolean
  readonly is_ours: boolean
  readonly strangers: readonly string[]
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
      'The role that patchbay.api_role() names does not exist on this server, as after a restore. See "Backups" in docs/sql.md.',
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
  if (row.may_log_in) {
    return `The role ${role} may log in, and would see whatever org it names. Run: alter role "${role}" nologin;`
  }
  if (row.strangers.length > 0) {
    return `${row.strangers.join(', ')} may act as the role ${role}, and so see whatever org they name. Run: revoke "${role}" from ${row.strangers.join(', ')};`
  }
  if (row.open_tables.length > 0) {
    return `Row-level security does not hold on ${row.open_tables.join(', ')}. A table that is new is closed by patchbay.close_table; one that was closed has lost its policy: see "Backups" in docs/sql.md.`
  }
  if (row.hidden.length > 0) {
    return `The role of DATABASE_URL does not own ${row.hidden.join(', ')}, and would see no rows there. Connect as the owner.`
  }
  if (!row.is_ours) {
    return `The role of DATABASE_URL may not act as ${role}. Run as an administrator: grant "${role}" to the role of DATABASE_URL;`
  }
  return null
}
