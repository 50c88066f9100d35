import { z } from 'zod'

const MAX_RATE = 10_000
const rate = z.int().min(1).max(MAX_RATE).optional()

/** How often a tool may run, whoever asks for it: a second, a minute, or both. */
export const toolRateLimit = z
  .strictObject({ perSecond: rate, perMinute: rate })
  .refine(({ perSecond, perMinute }) => perSecond !== undefined || perMinute !== undefined, {
    error: 'must have perSecond, perMinute or both',
  })

export type ToolRateLimit = z.output<typeof toolRateLimit>
