import { execFile } from 'node:child_process'
import { globSync } from 'node:fs'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join, normalize } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { API_FAULTS, WEBHOOK_FAULTS } from '../src/providers/slack/answers.ts'
import { TEAMS_ENDINGS } from '../src/providers/teams/answers.ts'
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
  expect(queries).toHaveLength(19)
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

test('the guides say what to do about whatever an app refuses for good', async () => {
  const [slack, teams] = await Promise.all(
    ['slack', 'teams'].map((app) => readFile(join(root, `docs/apps/${app}.md`), 'utf8')),
  )
  const lasting = [...WEBHOOK_FAULTS.values(), ...API_FAULTS.values()].filter(
    ({ stops }) => stops === 'subscription' || stops === 'integration',
  )
  expect(lasting.length).toBeGreaterThan(15)
  for (const { reason } of lasting) expect(slack).toContain(`| ${reason} |`)
  // What happened; what to do is said at length.
  const happened = Object.values(TEAMS_ENDINGS).map((reason) => reason.replace(/:.*/s, ':'))
  expect(happened).toHaveLength(3)
  for (const reason of happened) expect(teams).toContain(reason)
})

test('every link from one document to another leads to a heading that is there', async () => {
  const files = globSync(['*.md', 'docs/**/*.md'], { cwd: root })
  const texts = new Map<string, string>()
  for (const file of files) texts.set(file, await readFile(join(root, file), 'utf8'))
  const anchorsOf = (text: string) =>
    [...text.matchAll(/^#+ (.+)$/gm)].map(([, title = '']) =>
      title
        .toLowerCase()
        .replace(/[^\p{L}\p{N} _-]/gu, '')
        .replaceAll(' ', '-'),
    )
  let links = 0
  for (const [file, text] of texts) {
    for (const [, target = '', anchor] of text.matchAll(
      /\]\(((?:[\w./-]+\.md)?)(?:#([\w-]+))?\)/g,
    )) {
      if (target === '' && anchor === undefined) continue
      const path = target === '' ? file : normalize(join(dirname(file), target))
      expect([...texts.keys()], `${file} → ${target}`).toContain(path)
      if (anchor !== undefined) expect(anchorsOf(texts.get(path) ?? ''), file).toContain(anchor)
      links += 1
    }
  }
  expect(links).toBeGreaterThan(20)
})
