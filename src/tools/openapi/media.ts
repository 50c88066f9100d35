import { isNode, type Node, nodeOf } from './node.ts'

const JSON_TYPE = /^application\/(?:[a-z0-9][a-z0-9._-]*\+)?json$/

/** One entry of `content`. */
export interface Media {
  /** Without parameters, in lower case; `application/json` where any would do. */
  readonly type: string
  readonly node: Node
}

/** The entries of `content`, those that are understood best first: JSON, JSON of another name, forms, text. */
export function mediaOf(holder: Node): Media[] {
  return Object.entries(nodeOf(holder, 'content'))
    .filter((entry): entry is [string, Node] => isNode(entry[1]))
    .map(([type, node]) => ({ type: plainType(type), node }))
    .map((media) => ({ media, rank: rankOf(media.type) }))
    .sort((a, b) => a.rank - b.rank)
    .map(({ media }) => media)
}

export function isJsonType(type: string): boolean {
  return JSON_TYPE.test(type)
}

function plainType(given: string): string {
  const type = given.split(';')[0]?.trim().toLowerCase() ?? ''
  return type === '*/*' || type === 'application/*' ? 'application/json' : type
}

const ORDER = [
  'application/json',
  '',
  'application/x-www-form-urlencoded',
  'multipart/form-data',
  'text/plain',
]

function rankOf(type: string): number {
  const rank = ORDER.indexOf(isJsonType(type) && type !== 'application/json' ? '' : type)
  return rank === -1 ? ORDER.length : rank
}
