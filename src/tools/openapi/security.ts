import { isNode, memberOf, type Node, nodeOf, textOf } from './node.ts'
import type { Operation } from './operation.ts'
import { plainText } from './plain-text.ts'
import type { Follow } from './reference.ts'
import { Unusable } from './unusable.ts'

const MAX_NAME_LENGTH = 64
const COOKIE_NAME = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/

/** A secret that operations need and the integration keeps, never a tool's argument. */
export interface NeededCredential {
  /** `{{credentials.<name>}}` */
  readonly name: string
  readonly type: 'api key' | 'bearer token' | 'basic' | 'access token'
  /** What to put there, and how it is sent. */
  readonly description: string
}

/** How a scheme's credential goes into a request. */
interface Scheme {
  readonly credential: NeededCredential
  readonly in: 'header' | 'query' | 'cookie'
  readonly name: string
  readonly value: string
}

export interface ChosenSecurity {
  readonly headers: Readonly<Record<string, string>>
  readonly query: Readonly<Record<string, string>>
  readonly credentials: readonly NeededCredential[]
}

const NONE: ChosenSecurity = { headers: {}, query: {}, credentials: [] }

/** The security schemes of a document, as an integration's credentials. */
export function makeSecurity(document: Node, { follow }: Follow) {
  const given = Object.entries(nodeOf(nodeOf(document, 'components'), 'securitySchemes'))
  const schemes = new Map<string, Scheme | string>()
  const taken = new Set<string>()
  for (const [key, node] of given) {
    const name = credentialName(key, taken)
    taken.add(name)
    schemes.set(key, toScheme(name, follow(node)))
  }

  const schemeOf = (key: string) =>
    schemes.get(key) ?? `needs the security scheme ${key}, which the document does not define`

  return {
    /** Names and places that are a scheme's, so that no argument is one. */
    isSecret: (place: string, name: string): boolean =>
      [...schemes.values()].some(
        (scheme) =>
          typeof scheme !== 'string' &&
          scheme.in === place &&
          scheme.name.toLowerCase() === name.toLowerCase(),
      ),

    /**
     * Of the ways in which an operation may be called, the first whose credentials are all there; else the first.
     *
     * @throws Unusable where none of them can be sent
     */
    choose({ security }: Operation, isPresent: (name: string) => boolean): ChosenSecurity {
      const ways = (Array.isArray(security) ? security : []).filter(isNode)
      if (ways.length === 0) return NONE
      const judged = ways.map((way) => Object.keys(way).map(schemeOf))
      const possible = judged.filter((way): way is Scheme[] =>
        way.every((scheme) => typeof scheme !== 'string'),
      )
      const isWhole = (way: readonly Scheme[]) =>
        way.every(({ credential }) => isPresent(credential.name))
      const chosen =
        possible.find((way) => way.length > 0 && isWhole(way)) ??
        possible.find(isWhole) ??
        possible[0]
      if (chosen === undefined) {
        const reasons = judged.flat().filter((scheme) => typeof scheme === 'string')
        throw new Unusable(reasons[0] ?? 'needs a security scheme that is not understood')
      }
      return toChosen(chosen)
    },
  }
}

function toChosen(way: readonly Scheme[]): ChosenSecurity {
  const of = (place: Scheme['in']) => way.filter((scheme) => scheme.in === place)
  const pairs = (list: readonly Scheme[]) => list.map(({ name, value }) => [name, value] as const)
  const cookie = of('cookie').map(({ name, value }) => `${name}=${value}`)
  return {
    headers: Object.fromEntries([
      ...pairs(of('header')),
      ...(cookie.length === 0 ? [] : [['Cookie', cookie.join('; ')] as const]),
    ]),
    query: Object.fromEntries(pairs(of('query'))),
    credentials: way.map(({ credential }) => credential),
  }
}

/** A scheme, or why it cannot be used. */
function toScheme(name: string, node: Node): Scheme | string {
  const filling = `{{credentials.${name}}}`
  const own = plainText(textOf(node, 'description'), 300)
  const describe = (text: string) => (own === '' ? text : `${text} ${own}`)
  const authorization = (type: NeededCredential['type'], value: string, text: string): Scheme => ({
    credential: { name, type, description: describe(text) },
    in: 'header',
    name: 'Authorization',
    value,
  })
  switch (memberOf(node, 'type')) {
    case 'apiKey':
      return toApiKey(name, node, describe)
    case 'http':
      return toHttp(name, textOf(node, 'scheme').toLowerCase(), authorization)
    case 'oauth2': {
      const text = `An OAuth 2 access token${scopesOf(node)}, sent as a bearer token.`
      return authorization('access token', `Bearer ${filling}`, text)
    }
    case 'openIdConnect':
      return authorization(
        'access token',
        `Bearer ${filling}`,
        'An OpenID Connect access token, sent as a bearer token.',
      )
    default:
      return `needs the security scheme ${name}, of a type (${String(node.type).slice(0, 50)}) that cannot be sent from here`
  }
}

function toHttp(
  name: string,
  scheme: string,
  authorization: (type: NeededCredential['type'], value: string, text: string) => Scheme,
): Scheme | string {
  if (scheme === 'bearer') {
    return authorization(
      'bearer token',
      `Bearer {{credentials.${name}}}`,
      'A bearer token, without the word Bearer.',
    )
  }
  if (scheme === 'basic') {
    return authorization(
      'basic',
      `Basic {{credentials.${name}|base64}}`,
      'User name and password with a colon between them, `user:password`; encoded when it is sent.',
    )
  }
  return `needs HTTP's ${scheme.slice(0, 50)} authentication, which is not understood`
}

function toApiKey(name: string, node: Node, describe: (text: string) => string): Scheme | string {
  const place = memberOf(node, 'in')
  const key = textOf(node, 'name')
  if (place !== 'header' && place !== 'query' && place !== 'cookie') {
    return `needs an API key that goes nowhere: ${name} has no "in"`
  }
  // A name out of a document must not bring a placeholder of its own.
  if (key === '' || key.includes('{{') || (place === 'cookie' && !COOKIE_NAME.test(key))) {
    return `needs an API key under a name that no ${place} can have`
  }
  const description = describe(
    `An API key, sent as the ${place} parameter ${key.slice(0, 100)}.`
      .replace('header parameter', 'header')
      .replace('cookie parameter', 'cookie'),
  )
  return {
    credential: { name, type: 'api key', description },
    in: place,
    name: key,
    value: `{{credentials.${name}}}`,
  }
}

function scopesOf(node: Node): string {
  const scopes = Object.values(nodeOf(node, 'flows')).flatMap((flow) =>
    Object.keys(nodeOf(flow, 'scopes')),
  )
  const names = [...new Set(scopes)]
  return names.length === 0 ? '' : ` with the scopes ${names.slice(0, 10).join(', ')}`
}

/** As an integration may name a credential. */
function credentialName(key: string, taken: ReadonlySet<string>): string {
  const plain = key.replace(/[^a-zA-Z0-9_]+/g, '_').replace(/^[^a-zA-Z]+/, '') || 'credential'
  for (let number = 1; ; number += 1) {
    const suffix = number === 1 ? '' : `_${number}`
    const name = plain.slice(0, MAX_NAME_LENGTH - suffix.length) + suffix
    if (!taken.has(name)) return name
  }
}
