import { z } from 'zod'
import { httpConfigSchema } from '../http-config.ts'

/** What is kept beside a tool that came out of an OpenAPI document: how the document last described it. */
export const importedSource = z.object({
  kind: z.literal('openapi'),
  /** Of the document in which it was last described like this. */
  documentHash: z.string(),
  /** Where the document no longer has the operation: whether it was on until then. */
  removed: z.object({ wasEnabled: z.boolean() }).optional(),
  tool: z.object({
    description: z.string(),
    argsDigest: z.string(),
    outputDigest: z.string(),
    httpConfig: httpConfigSchema,
    isEnabled: z.boolean(),
    approval: z.enum(['auto', 'ask']),
  }),
})
export type ImportedSource = z.output<typeof importedSource>
