import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client'
import type { Patchbay } from './patchbay.ts'

/** A client of the org's tools. They are called by `client.callTool({ name, arguments })`, and closed by `client.close()`. */
export async function connect({ url, orgId, token }: Patchbay): Promise<Client> {
  const client = new Client(
    { name: 'my-chat', version: '1.0.0' },
    { versionNegotiation: { mode: 'auto' } },
  )
  const endpoint = new URL(`/orgs/${encodeURIComponent(orgId)}/mcp`, url)
  const headers = { authorization: `Bearer ${token}` }
  await client.connect(new StreamableHTTPClientTransport(endpoint, { requestInit: { headers } }))
  return client
}
