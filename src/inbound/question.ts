import { z } from 'zod'

/** What somebody asked in an app, as it waits to be answered. */
export const questionSchema = z.object({
  text: z.string(),
  user: z.object({ id: z.string(), name: z.string().nullable() }),
  /** The conversation; or the place of which each thread is one; or null: a conversation of its own. */
  where: z
    .union([
      z.object({ conversationId: z.string() }),
      z.object({ channel: z.string(), thread: z.string() }),
    ])
    .nullable(),
  /**
   * How the answer gets back: `event`: as an event like any other; `channel`: into the thread where it was asked; `webhook`: by
   * the integration's own subscription; a URL: posted there, which serves for half an hour.
   */
  answer: z.union([z.enum(['event', 'channel', 'webhook']), z.object({ url: z.string() })]),
  /** The message of the conversation that it is already. */
  saidId: z.string().nullable(),
})

export type Question = z.output<typeof questionSchema>
