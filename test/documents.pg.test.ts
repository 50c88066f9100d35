import { execFile } from 'node:child_process'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { openTestDatabase, type TestDatabase } from './fixtures/database.ts'

const root = join(import.meta.dirname, '..')
const run = promisify(execFile)

let database: TestDatabase
beforeAll(async () => {
  database = await openTestDatabase()
  await database.addOrg('acme')
})
afterAll(() => database[Symbol.asyncDispose]())

async function blocksOf(file: string, language: string): Promise<string[]> {
  const text = await readFile(join(root, file), 'utf8')
  const block = new RegExp(`\`\`\`${language}\\n([\\s\\S]*?)\`\`\``, 'g')
  return [...text.matchAll(block)].map(([, code = '']) => code)
}

test('every query of docs/sql.md runs', async () => {
  const queries = await blocksOf('docs/sql.md', 'sql')
  expect(queries).toHaveLength(14)
  for (const query of queries) await database.pool.query(query)
})

test('the code in the README records its event with its row', async () => {
  const [code = ''] = await blocksOf('README.md', 'ts')
  await database.pool.query('create table invoices (id text, total int)')
  const dir = await mkdtemp(join(tmpdir(), 'patchbay-readme-'))
  try {
    // In a host application `patchbay` and `pg` are dependencies; here they are this project's.
    const file = join(dir, 'readme.ts')
    const local = code
      .replace(`'patchbay'`, `'${join(root, 'src/index.ts')}'`)
      .replace(`'pg'`, `'${join(root, 'node_modules/pg/esm/index.mjs')}'`)
    await writeFile(file, local)
    await run(process.execPath, [file], { env: { DATABASE_URL: database.url } })
  } finally {
    await rm(dir, { recursive: true, force: true })
  }
  const { rows } = await database.pool.query(
    `select type, data from patchbay.outbox_events where org_id = 'acme' and type = 'invoice.created'`,
  )
  expect(rows).toEqual([{ type: 'invoice.created', data: { invoiceId: 'inv-1', total: 120 } }])
  expect((await database.pool.query('select * from invoices')).rows).toHaveLength(1)
})
