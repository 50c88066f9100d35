import { z } from 'zod'

const NAME = /^[a-zA-Z][a-zA-Z0-9_]{0,63}$/
const MAX_MEMBERS = 32

/** A credential: marked as secret in the JSON Schema that the catalogue shows. */
export const secretField = (description: string) =>
  z.string().min(1).max(4096).meta({ description, 'x-secret': true })

const name = z.string().regex(NAME, 'must be a name of letters, digits and _')

/** Credentials of any name, for apps that we know nothing of: header and query values refer to them. */
export const namedCredentials = z
  .record(name, secretField('Used as {{credentials.<name>}} in headers, query and URL of tools.'))
  .refine((all) => Object.keys(all).length <= MAX_MEMBERS, `at most ${MAX_MEMBERS} credentials`)

export const namedConfig: z.ZodType<Record<string, unknown>> = z
  .record(name, z.union([z.string().max(4096), z.number(), z.boolean()]))
  .refine((all) => Object.keys(all).length <= MAX_MEMBERS, `at most ${MAX_MEMBERS} members`)

export const noConfig: z.ZodType<Record<string, unknown>> = z.strictObject({})

/** Credentials without the members that were left out. */
export function present(all: Record<string, string | undefined>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(all).filter((entry): entry is [string, string] => entry[1] !== undefined),
  )
}
