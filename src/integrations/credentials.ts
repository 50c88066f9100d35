import type { Credentials } from '../core/provider.ts'
import type { Keyring } from '../security/keyring.ts'

const TABLE = 'org_integrations'

/** Where a sealed column of an integration lives. */
export function sealContextOf(
  orgId: string,
  rowId: string,
  column: 'credentials' | 'inbound_secrets' | 'tool_secrets',
) {
  return { orgId, table: TABLE, column, rowId }
}

/** null: it has none. */
export async function openCredentials(
  keyring: Pick<Keyring, 'open'>,
  orgId: string,
  integrationId: string,
  sealed: Buffer | null,
): Promise<Credentials> {
  if (sealed === null) return {}
  return JSON.parse(await keyring.open(sealContextOf(orgId, integrationId, 'credentials'), sealed))
}

/** The columns of an integration that say which credentials it has. */
export async function sealCredentials(
  keyring: Pick<Keyring, 'seal'>,
  orgId: string,
  integrationId: string,
  credentials: Credentials,
) {
  const names = Object.keys(credentials).sort()
  if (names.length === 0) return { credentials: null, credentialFields: names }
  const context = sealContextOf(orgId, integrationId, 'credentials')
  return {
    credentials: await keyring.seal(context, JSON.stringify(credentials)),
    credentialFields: names,
  }
}
