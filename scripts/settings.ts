import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { settings } from '../src/config.ts'

/**
 * `npm run settings`: writes `.env.example` and the table in the README from the config's schema. With `--check` it only says
 * whether they are up to date.
 */
const root = join(import.meta.dirname, '..')
const BEGIN = '<!-- settings: made by `npm run settings` -->'
const END = '<!-- /settings -->'

interface Setting {
  readonly name: string
  readonly fallback: string
  readonly description: string
}

function listSettings(): Setting[] {
  const defaults: Record<string, unknown> = settings.parse({})
  return Object.entries(settings.shape).map(([name, schema]) => ({
    name,
    fallback: toText(defaults[name]),
    description: schema.description ?? '',
  }))
}

function toText(value: unknown): string {
  if (value === undefined) return ''
  if (typeof value === 'boolean') return value ? 'on' : 'off'
  return Array.isArray(value) ? value.join(',') : String(value)
}

function envExample(list: readonly Setting[]): string {
  const blocks = list.map(
    ({ name, fallback, description }) =>
      `# ${description.replaceAll('`', '')}\n# ${name}=${fallback}\n`,
  )
  return `# Settings of Patchbay and their defaults. Everything is optional with the embedded Postgres.\n\n${blocks.join('\n')}`
}

function readmeTable(list: readonly Setting[]): string {
  const rows = list.map(
    ({ name, fallback, description }) =>
      `| \`${name}\` | ${fallback === '' ? '' : `\`${fallback}\``} | ${description} |`,
  )
  return [BEGIN, '| setting | default | |', '|---|---|---|', ...rows, END].join('\n')
}

async function readText(file: string): Promise<string> {
  return readFile(join(root, file), 'utf8').catch(() => '')
}

const list = listSettings()
const readme = await readText('README.md')
const between = new RegExp(`${BEGIN}[\\s\\S]*${END}`)
const wanted: Record<string, string> = {
  '.env.example': envExample(list),
  'README.md': readme.replace(between, () => readmeTable(list)),
}
for (const [file, text] of Object.entries(wanted)) {
  if ((await readText(file)) === text) continue
  if (process.argv.includes('--check')) {
    console.error(`${file} is not up to date: run npm run settings`)
    process.exitCode = 1
  } else {
    await writeFile(join(root, file), text)
    console.log(`wrote ${file}`)
  }
}
