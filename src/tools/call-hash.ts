import { createHash } from 'node:crypto'
import { allFillingsOf } from './http-config.ts'
import type { ExternalTool } from './invoke.ts'

/**
 * What a person approves: which tool, as it is defined now, with which arguments. Another order of members is the same call;
 * a changed URL, method, schema or argument is another, and so is a changed config of its integration, as far as it goes into the
 * call: it says which server, or whose project. Credentials are not in it: they are rotated.
 */
export function callHashOf(tool: ExternalTool, args: unknown): string {
  const { id, httpConfig, sourceKey, argsSchema, integrationId } = tool
  const config = configOf(tool)
  const what = { id, integrationId, httpConfig, sourceKey, argsSchema, config, args }
  return createHash('sha256').update(canonical(what)).digest('base64url')
}

/** Of an MCP server all of it; else what is filled in. */
function configOf({ httpConfig, config }: ExternalTool) {
  if (httpConfig === null) return config
  const names = allFillingsOf(httpConfig).flatMap(({ kind, name }) =>
    kind === 'config' ? [name] : [],
  )
  return Object.fromEntries(Object.entries(config).filter(([name]) => names.includes(name)))
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
