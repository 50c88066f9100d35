import { isNode, listOf, type Node, nodeOf, textOf } from './node.ts'
import type { Operation } from './operation.ts'
import { Unusable } from './unusable.ts'

/**
 * What an operation's path stands behind: without a slash at its end, variables at their defaults.
 *
 * @param baseUrl in place of the document's servers; what an operation or its path names as its own server stays
 * @throws Unusable for a server that names no host
 */
export function serverUrl({ servers }: Pick<Operation, 'servers'>, baseUrl: string | null): string {
  const { list, isOwn } = servers
  if (!isOwn && baseUrl !== null) return withoutSlash(baseUrl)
  const urls = list.filter(isNode).map(urlOf)
  const first = urls[0] ?? '/'
  // Swagger 2.0 lists schemes, in no order of worth.
  const secure = first.replace(/^http:/i, 'https:')
  const url = urls.includes(secure) ? secure : first
  // A placeholder in it would be filled in, and nobody but the org says where its credentials go.
  if (/[{}]/.test(url)) throw new Unusable('its server has a variable without a default')
  if (/^https?:\/\//i.test(url)) return withoutSlash(url)
  if (baseUrl !== null && !/^[a-z][a-z0-9+.-]*:/i.test(url)) {
    return withoutSlash(new URL(url, `${withoutSlash(baseUrl)}/`).href)
  }
  throw new Unusable(
    `its server is ${JSON.stringify(url.slice(0, 200))}, which names no host to call: give baseUrl, what each path is put behind, like https://api.example.com/v1`,
  )
}

/**
 * Where the credentials of a document's operations may go: to the host that who imports it named, else to the one that the
 * document is of. null: to none.
 */
export function homeOf(document: Node, baseUrl: string | null): string | null {
  if (baseUrl !== null) return originOf(baseUrl)
  try {
    const servers = { list: listOf(document, 'servers'), isOwn: false }
    return originOf(serverUrl({ servers }, null))
  } catch (error) {
    if (error instanceof Unusable) return null
    throw error
  }
}

/** Scheme, host and port; null: it is no URL. */
export function originOf(url: string): string | null {
  return URL.canParse(url) ? new URL(url).origin : null
}

function urlOf(server: Node): string {
  const variables = nodeOf(server, 'variables')
  return textOf(server, 'url')
    .trim()
    .replace(/\{([^{}]*)\}/g, (whole, name: string) => {
      const variable = nodeOf(variables, name)
      return typeof variable.default === 'number'
        ? String(variable.default)
        : textOf(variable, 'default') || whole
    })
}

function withoutSlash(url: string): string {
  return url.replace(/\/+$/, '')
}
