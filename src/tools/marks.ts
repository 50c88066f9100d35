import type { JsonSchema } from './args.ts'
import { type MarkedPlaces, markedPlacesOf, type Place } from './marked-places.ts'

const MARK = '[secret]'
const MAX_DEPTH = 64
/** As `makeRedact` sees it: what is shorter is no secret. */
const MIN_SECRET_LENGTH = 4
/** Each is looked for in every answer. */
const MAX_SECRETS = 100

/**
 * A value without what its schema marks (`"x-secret": true` or `"format": "password"`): `[secret]` stands there instead,
 * whatever it was. In doubt it is hidden: what any branch of a choice marks, a text where the schema has an object with
 * secrets, what lies deeper than 64 levels.
 *
 * @param schema null: nothing is known, and nothing is marked
 */
export function hideMarked(schema: JsonSchema | null, value: unknown): unknown {
  const places = schema === null ? null : markedPlacesOf(schema)
  return places === null ? value : visit(places, places.root, value, MAX_DEPTH, () => MARK)
}

/**
 * The texts and numbers that `hideMarked` hides, each once: an endpoint that echoes them must be cleaned of them too
 * (`makeRedact`). The first hundred of four characters or more.
 */
export function secretsIn(schema: JsonSchema | null, value: unknown): string[] {
  const places = schema === null ? null : markedPlacesOf(schema)
  const found = new Set<string>()
  if (places === null) return []
  visit(places, places.root, value, MAX_DEPTH, (hidden) => {
    collect(hidden, found)
    return MARK
  })
  return [...found]
}

function visit(
  places: MarkedPlaces,
  place: Place,
  value: unknown,
  depth: number,
  hide: (value: unknown) => string,
): unknown {
  places.spend()
  if (place.isMarked || (typeof value === 'string' && place.isNoText)) return hide(value)
  if (typeof value !== 'object' || value === null) return value
  if (depth === 0) return hide(value)
  if (Array.isArray(value)) {
    return value.map((entry, index) =>
      visit(places, places.item(place, index), entry, depth - 1, hide),
    )
  }
  return Object.fromEntries(
    Object.entries(value).map(([name, member]) => [
      name,
      visit(places, places.member(place, name), member, depth - 1, hide),
    ]),
  )
}

function collect(value: unknown, found: Set<string>): void {
  const open = [value]
  for (const next of open) {
    if (found.size >= MAX_SECRETS) return
    if (typeof next === 'string' || typeof next === 'number') {
      if (String(next).length >= MIN_SECRET_LENGTH) found.add(String(next))
    } else if (typeof next === 'object' && next !== null) {
      for (const entry of Object.values(next)) open.push(entry)
    }
  }
}
