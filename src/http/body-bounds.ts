export interface BodyBounds {
  readonly maxBytes: number
  /** The same in words. */
  readonly size: string
  /** Of all its JSON objects together. */
  readonly maxMembers: number
}

const OF_ANY: BodyBounds = { maxBytes: 1_048_576, size: '1 MiB', maxMembers: 50_000 }
/** An OpenAPI document of some hundred operations. */
const OF_DOCUMENT: BodyBounds = { maxBytes: 5_242_880, size: '5 MiB', maxMembers: 300_000 }

/** How large the body of a request to this path may be. */
export function bodyBounds(path: string): BodyBounds {
  return /^\/orgs\/[^/]+\/integrations\/[^/]+\/tools\/import$/.test(path) ? OF_DOCUMENT : OF_ANY
}
