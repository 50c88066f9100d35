import { SignJWT } from 'jose'
import { Pool } from 'undici'
import { ORG } from './body.ts'
import type { EmptyDatabase } from './databases.ts'

const USER = 'bench'

export interface Client extends AsyncDisposable {
  /** The answer's body. Throws where its status is not of success. */
  readonly send: (method: 'GET' | 'POST', path: string, body?: string) => Promise<string>
}

/** One connection, kept alive. */
export function openClient(origin: string, headers: Readonly<Record<string, string>> = {}): Client {
  const pool = new Pool(origin, { connections: 1, pipelining: 1 })
  return {
    send: async (method, path, body) => {
      const answer = await pool.request({
        method,
        path,
        headers: {
          ...headers,
          ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        },
        ...(body === undefined ? {} : { body }),
      })
      const text = await answer.body.text()
      if (answer.statusCode < 300) return text
      throw new Error(`${method} ${path} was answered ${answer.statusCode}: ${text.slice(0, 200)}`)
    },
    [Symbol.asyncDispose]: () => pool.destroy(),
  }
}

/** What an admin of these orgs sends with each request. */
export async function adminHeaders(
  database: EmptyDatabase,
  orgIds: readonly string[] = [ORG],
): Promise<Record<string, string>> {
  await database.pool.query(
    `insert into patchbay.org_members (org_id, user_id, role) select id, $2, 'admin' from unnest($1::text[]) as id`,
    [orgIds, USER],
  )
  const token = await new SignJWT({})
    .setProtectedHeader({ alg: 'HS256' })
    .setSubject(USER)
    .setIssuedAt()
    .setExpirationTime('1h')
    .sign(new TextEncoder().encode(database.jwtSecret))
  return { authorization: `Bearer ${token}` }
}
