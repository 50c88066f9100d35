import { migrate } from '../src/db/migrate.ts'
import { withDatabase } from './with-database.ts'

/** `npm run migrate`: brings the database up to date and says what it did. */
await withDatabase(async (url) => {
  const applied = await migrate(url)
  console.log(applied.length === 0 ? 'The database is up to date.' : applied.join('\n'))
})
