import pg from 'pg'
import { formatTable } from './table.ts'
import { withDatabase } from './with-database.ts'

/** Values as Postgres prints them, as psql shows them. */
const AS_TEXT = { getTypeParser: () => (text: string) => text }

/** `npm run sql -- "select …"`: prints the rows as a table, for people without psql. */
const statement = process.argv.slice(2).join(' ').trim()
if (statement === '') {
  console.error('Usage: npm run sql -- "select * from patchbay.webhook_deliveries"')
  process.exitCode = 1
} else {
  await withDatabase(async (url) => {
    const client = new pg.Client({ connectionString: url, application_name: 'patchbay sql' })
    await client.connect()
    try {
      const results = [
        await client.query({ text: statement, rowMode: 'array', types: AS_TEXT }),
      ].flat()
      for (const result of results) print(result)
    } finally {
      await client.end()
    }
  })
}

function print(result: pg.QueryArrayResult): void {
  if (result.fields.length === 0) {
    console.log(`${result.command} ${result.rowCount ?? ''}`.trim())
    return
  }
  console.log(
    formatTable(
      result.fields.map((field) => field.name),
      result.rows,
    ),
  )
  console.log(result.rows.length === 1 ? '(1 row)' : `(${result.rows.length} rows)`)
}
