import { parseArgs } from 'node:util'
import { decodeJwt, SignJWT } from 'jose'
import pg from 'pg'
import { ROLES, type Role } from '../src/auth/permissions.ts'
import { MAX_LIFETIME_S } from '../src/auth/token.ts'
import { ConfigError, parseConfig } from '../src/config.ts'
import { isOrgId } from '../src/core/id.ts'
import { migrate } from '../src/db/migrate.ts'
import { jwtSecret } from '../src/service/resources.ts'
import { withDatabase } from './with-database.ts'

const USAGE =
  'Usage: npm run token -- --org ID --user ID [--role admin] [--superadmin] [--expires 12h]'

/**
 * `npm run token`: prints a JWT for the shared secret on stdout, and nothing else there. With `--role` the user also becomes
 * a member of the org, which is made if it does not exist.
 */
async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      org: { type: 'string' },
      user: { type: 'string' },
      role: { type: 'string' },
      superadmin: { type: 'boolean', default: false },
      expires: { type: 'string', default: '12h' },
    },
  })
  if (values.user === undefined) throw new ConfigError([`--user is missing\n${USAGE}`])
  if (values.org !== undefined && !isOrgId(values.org)) {
    throw new ConfigError([`--org: "${values.org}" is not an org id`])
  }
  const role = parseRole(values.role)
  if (role !== null && values.org === undefined) throw new ConfigError(['--role needs --org'])
  const config = parseConfig(process.env)
  const secret = await jwtSecret(config)
  if (secret === undefined) {
    throw new ConfigError(['AUTH_JWKS_URL: tokens come from your identity provider, not from here'])
  }
  const typ = config.AUTH_TOKEN_TYPE
  const jwt = new SignJWT(values.superadmin ? { isSuperadmin: true } : {})
    .setProtectedHeader({ alg: 'HS256', ...(typ === undefined ? {} : { typ }) })
    .setSubject(values.user)
    .setIssuedAt()
    .setExpirationTime(values.expires)
  if (config.AUTH_ISSUER !== undefined) jwt.setIssuer(config.AUTH_ISSUER)
  if (config.AUTH_AUDIENCE !== undefined) jwt.setAudience(config.AUTH_AUDIENCE)
  const token = await jwt.sign(new TextEncoder().encode(secret.reveal()))
  const { exp = 0, iat = 0 } = decodeJwt(token)
  if (exp - iat > MAX_LIFETIME_S) {
    throw new ConfigError(['--expires: a token lives for 24 hours at most'])
  }
  if (role !== null && values.org !== undefined) await addMember(values.org, values.user, role)
  console.log(token)
}

function parseRole(role: string | undefined): Role | null {
  if (role === undefined) return null
  const known = ROLES.find((name) => name === role)
  if (known === undefined) throw new ConfigError([`--role: must be one of ${ROLES.join(', ')}`])
  return known
}

async function addMember(orgId: string, userId: string, role: Role): Promise<void> {
  await withDatabase(async (url) => {
    await migrate(url)
    const client = new pg.Client(url)
    await client.connect()
    try {
      const made = await client.query(
        'insert into patchbay.orgs (id, name) values ($1, $1) on conflict do nothing',
        [orgId],
      )
      if (made.rowCount === 1) console.error(`Made the org ${orgId}.`)
      await client.query(
        `insert into patchbay.org_members (org_id, user_id, role) values ($1, $2, $3)
         on conflict (org_id, user_id) do update set role = excluded.role`,
        [orgId, userId, role],
      )
    } finally {
      await client.end()
    }
  })
}

try {
  await main()
} catch (error) {
  process.exitCode = 1
  const isUsage = error instanceof ConfigError || error instanceof TypeError
  console.error(isUsage ? error.message : error)
}
