import { z } from 'zod'

const MAX_APPROVERS = 100

export const slackConfig = z.strictObject({
  approvers: z
    .array(
      z
        .string()
        .regex(
          /^[UW][A-Z0-9]{2,31}$/,
          'must be the id of a Slack user, like U0123ABCD (in Slack: the person’s profile, ⋮, Copy member ID)',
        ),
    )
    .max(MAX_APPROVERS, `names ${MAX_APPROVERS} people at most`)
    .optional()
    .meta({
      description:
        'Ids of the Slack users who may approve and deny tool calls by the buttons in Slack, U… or W…',
    }),
})
