import { z } from 'zod'

/** Slack's ids, of everything. */
export const slackId = z.string().min(1).max(255)

/** Where Slack installed the app: a workspace, an Enterprise org, or a workspace in one. */
export interface SlackInstallation {
  readonly teamId: string | null
  readonly enterpriseId: string | null
  readonly appId: string
}

export function ignored(reason: string) {
  return { kind: 'ignored', reason } as const
}

/** Names the member that is wrong, and never what stands in it. */
export function invalid(what: string, error: z.ZodError) {
  const path = error.issues[0]?.path.join('.') ?? ''
  return { kind: 'invalid', reason: path === '' ? what : `${what}: ${path} is not valid` } as const
}
