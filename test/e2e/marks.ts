import { randomBytes } from 'node:crypto'
import type { Pool } from 'pg'

/** Secrets that are looked for afterwards, by what they are. */
export const marks = new Map<string, string>()
/** A value that is found again wherever it turns up; letters and digits, so that no encoding changes it. */
export function mark(what: string, prefix = ''): string {
  const value = prefix + randomBytes(20).toString('hex')
  marks.set(what, value)
  return value
}
/** One that every encoding changes in its own way: as `\/` and `\u0026` in JSON, as `%2F` and `%2f` in URLs. */
export function oddMark(what: string): string {
  return mark(what, 'a/b+c&d<e=f~')
}

/** A mark as it might be written: as it is, in hexadecimal, and in base64 from each of the three places it can begin. */
function formsOf(value: string): string[] {
  const bytes = Buffer.from(value)
  const base64 = [0, 1, 2].flatMap((offset) => {
    const text = Buffer.concat([Buffer.alloc(offset), bytes]).toString('base64')
    // Without what depends on its neighbours.
    const middle = text.slice(offset === 0 ? 0 : 4, -4)
    return [middle, middle.replaceAll('+', '-').replaceAll('/', '_')]
  })
  const json = JSON.stringify(value).slice(1, -1)
  const escaped = json.replaceAll('/', '\\/')
  const careful = json.replaceAll('&', '\\u0026').replaceAll('<', '\\u003c')
  const inUrl = encodeURIComponent(value)
  const lower = inUrl.replace(/%../g, (hex) => hex.toLowerCase())
  const plain = [value, json, escaped, careful, inUrl, lower]
  const nested = plain.map((text) => JSON.stringify(text).slice(1, -1))
  return [...new Set([...plain, ...nested, bytes.toString('hex'), ...base64])]
}

/** Where which marks stand in a text, each with what is around it. */
export function found(where: string, text: string): string[] {
  return [...marks]
    .filter(([, value]) => formsOf(value).some((form) => text.includes(form)))
    .map(([what, value]) => {
      const at = Math.max(0, text.indexOf(value) - 200)
      return `${what}, in ${where}: ${text.slice(at, at + 260)}`
    })
}

/** Every row of every table that is not Postgres' own, as text. */
export async function dump(pool: Pool): Promise<string> {
  const { rows: tables } = await pool.query<{ name: string }>(
    `select format('%I.%I', n.nspname, c.relname) as name
     from pg_class as c join pg_namespace as n on n.oid = c.relnamespace
     where c.relkind in ('r', 'm', 'f') and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'`,
  )
  const texts: string[] = []
  for (const { name } of tables) {
    const { rows } = await pool.query<{ row: string }>(`select t::text as row from ${name} as t`)
    texts.push(name, ...rows.map(({ row }) => row))
  }
  return texts.join('\n')
}
