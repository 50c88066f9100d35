import type { JsonSchema } from './args.ts'
import { rootPropertiesOf } from './root-properties.ts'

const MAX_LENGTH = 64
const FITS = /^[a-zA-Z_][a-zA-Z0-9_]{0,63}$/

/**
 * The arguments whose name some model API refuses, like `filter[id]`, `$top` or `user-id`, and the name that all take
 * instead. Follows from the schema alone: the same for everyone who asks.
 */
export function wireNamesOf(names: readonly string[]): ReadonlyMap<string, string> {
  const taken = new Set(names)
  const wire = new Map<string, string>()
  for (const name of names.filter((each) => !FITS.test(each))) {
    const plain = name.replace(/[^a-zA-Z0-9_]/g, '_').replace(/^(?=[^a-zA-Z_]|$)/, '_')
    let free = plain.slice(0, MAX_LENGTH)
    for (let at = 2; taken.has(free); at += 1) {
      const mark = `_${at}`
      free = plain.slice(0, MAX_LENGTH - mark.length) + mark
    }
    taken.add(free)
    wire.set(name, free)
  }
  return wire
}

/** Arguments by the names of the tool's own schema, whether they came by those or by their wire names. */
export function fromWireArgs(schema: JsonSchema, args: unknown): unknown {
  if (typeof args !== 'object' || args === null || Array.isArray(args)) return args
  const wire = wireNamesOf(Object.keys(rootPropertiesOf(schema).properties))
  if (wire.size === 0) return args
  const own = new Map([...wire].map(([name, wireName]) => [wireName, name]))
  return Object.fromEntries(
    Object.entries(args).map(([name, value]) => {
      const meant = own.get(name) ?? name
      return [Object.hasOwn(args, meant) ? name : meant, value]
    }),
  )
}
