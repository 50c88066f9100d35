import { sql } from 'drizzle-orm'
import { customType, pgSchema, timestamp, uuid } from 'drizzle-orm/pg-core'

/** Where all tables are. */
export const patchbay = pgSchema('patchbay')

export const bytea = customType<{ data: Buffer }>({ dataType: () => 'bytea' })
export const newId = sql`patchbay.new_id()`
export const id = () => uuid('id').primaryKey().default(newId)
export const at = (name: string) => timestamp(name, { withTimezone: true, mode: 'date' })
export const createdAt = () => at('created_at').notNull().defaultNow()
