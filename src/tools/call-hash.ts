import { createHash } from 'node:crypto'
import type { ExternalTool } from './invoke.ts'

/**
 * What a person approves: which tool, as it is defined now, with which arguments. Another order of members is the same call;
 * a changed URL, method, schema or argument is another. Credentials are not in it: they are rotated.
 */
export function callHashOf(tool: ExternalTool, args: unknown): string {
  const { id, httpConfig, sourceKey, argsSchema, integrationId } = tool
  const what = { id, integrationId, httpConfig, sourceKey, argsSchema, args }
  return createHash('sha256').update(canonical(what)).digest('base64url')
}

/** JSON text with the members of objects in order, as RFC 8785 has them. */
function canonical(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join(',')}]`
  if (typeof value !== 'object' || value === null) return JSON.stringify(value ?? null)
  const members = Object.entries(value)
    .filter(([, member]) => member !== undefined)
    .sort(([a], [b]) => (a < b ? -1 : 1))
  return `{${members.map(([name, member]) => `${JSON.stringify(name)}:${canonical(member)}`).join(',')}}`
}
