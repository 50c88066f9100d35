import type { EmitTransaction } from './emit.ts'

/**
 * The host's libraries, by the little of their shape that is needed here: none of them becomes a dependency, and any
 * version that has this shape will do.
 */
type Row = Record<string, unknown>

interface Result<R> {
  readonly rows: R[]
}

/** `rows` where Drizzle drives `pg` and its like; the rows themselves where it drives `postgres`. */
interface DrizzleTransaction<Query> {
  execute(query: Query): PromiseLike<Result<Row> | Row[]>
}

type DrizzleSql<Query> = (strings: TemplateStringsArray, ...values: unknown[]) => Query

type KyselySql<Transaction> = <R>(
  strings: TemplateStringsArray,
  ...values: unknown[]
) => { execute(trx: Transaction): Promise<Result<R>> }

interface KnexTransaction {
  raw(sql: string, bindings: unknown[]): PromiseLike<Result<Row>>
}

interface PrismaTransaction {
  $queryRawUnsafe<T>(query: string, ...values: unknown[]): PromiseLike<T>
}

/**
 * A Drizzle transaction as `emit` takes it: the event is recorded *in that transaction*, with one statement. `sql` is the
 * tag of the host's own drizzle-orm.
 *
 * @example
 * import { sql } from 'drizzle-orm'
 * await db.transaction((tx) => emit(fromDrizzle(tx, sql), { orgId, type: 'turn.completed', data: { turnId } }))
 */
export function fromDrizzle<Query>(
  tx: DrizzleTransaction<Query>,
  sql: DrizzleSql<Query>,
): EmitTransaction {
  return {
    query: async (text, values) => {
      const template = parseTemplate(text, values)
      const result = await tx.execute(sql(template.strings, ...template.values))
      return Array.isArray(result) ? { rows: result } : result
    },
  }
}

/**
 * A Kysely transaction as `emit` takes it: the event is recorded *in that transaction*, with one statement. `sql` is the
 * tag of the host's own kysely.
 *
 * @example
 * import { sql } from 'kysely'
 * await db.transaction().execute((trx) => emit(fromKysely(trx, sql), { orgId, type: 'turn.completed', data: { turnId } }))
 */
export function fromKysely<Transaction>(
  trx: Transaction,
  sql: KyselySql<Transaction>,
): EmitTransaction {
  return {
    query: (text, values) => {
      const template = parseTemplate(text, values)
      return sql<Row>(template.strings, ...template.values).execute(trx)
    },
  }
}

/**
 * A Knex transaction (client `pg`) as `emit` takes it: the event is recorded *in that transaction*, with one statement.
 *
 * @example
 * import { emit, fromKnex } from 'patchbay'
 * await knex.transaction((trx) => emit(fromKnex(trx), { orgId, type: 'turn.completed', data: { turnId } }))
 */
export function fromKnex(trx: KnexTransaction): EmitTransaction {
  return {
    query: async (text, values) => {
      const template = parseTemplate(text, values)
      const sql = template.strings.map((part) => part.replaceAll('?', '\\?')).join('?')
      return await trx.raw(sql, template.values)
    },
  }
}

/**
 * The client of a Prisma interactive transaction as `emit` takes it: the event is recorded *in that transaction*, with one
 * statement. `$transaction([...])` takes only promises of Prisma's own, so an `emit` cannot stand in such a list.
 *
 * @example
 * import { emit, fromPrisma } from 'patchbay'
 * await prisma.$transaction((tx) => emit(fromPrisma(tx), { orgId, type: 'turn.completed', data: { turnId } }))
 */
export function fromPrisma(tx: PrismaTransaction): EmitTransaction {
  return {
    query: async (text, values) => ({ rows: await tx.$queryRawUnsafe<Row[]>(text, ...values) }),
  }
}

/** What a tag would get if the statement were a template literal: its text split at each `$n`, and the value of each. */
function parseTemplate(text: string, values: readonly unknown[]) {
  const parts = text.split(/\$(\d+)/)
  const strings = parts.filter((_, index) => index % 2 === 0)
  const numbers = parts.filter((_, index) => index % 2 === 1)
  return {
    strings: Object.assign(strings, { raw: strings }),
    values: numbers.map((number) => values[Number(number) - 1]),
  }
}
