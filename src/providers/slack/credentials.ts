import { z } from 'zod'
import { present, secretField } from '../schemas.ts'

const WANTED =
  'the bot token is wanted, xoxb-…: "OAuth & Permissions" of the Slack app, "Bot User OAuth Token"'

function botTokenProblem(token: string): string | null {
  if (/^(?:xoxe\.)?xoxb-[\x21-\x7e]+$/.test(token)) return null
  if (/^(?:xoxe\.)?xoxp-/.test(token)) return `is the token of a user; ${WANTED}`
  if (token.startsWith('xapp-')) return `is a token of the app (xapp-…); ${WANTED}`
  if (token.startsWith('xoxe-')) return `is a refresh token; ${WANTED}`
  return `is no Slack token; ${WANTED}`
}

function refreshTokenProblem(token: string): string | null {
  return /^xoxe-[\x21-\x7e]+$/.test(token) ? null : 'is no refresh token: those begin with xoxe-'
}

function signingSecretProblem(secret: string): string | null {
  return /^[0-9A-Za-z]{16,128}$/.test(secret)
    ? null
    : 'is no signing secret: those are 32 letters and digits ("Basic Information" of the Slack app)'
}

function botUserIdProblem(id: string): string | null {
  return /^[UW][A-Z0-9]{1,31}$/.test(id)
    ? null
    : 'is no id of a Slack user: those look like U0123ABCD'
}

const checked = (field: z.ZodString, problemOf: (value: string) => string | null) =>
  field
    .superRefine((value, context) => {
      const message = problemOf(value)
      if (message !== null) context.addIssue({ code: 'custom', message })
    })
    .optional()

/** As they are stored: of the app that people installed, or pasted from an app of the org's own. */
export const slackCredentials = z
  .strictObject({
    botToken: checked(secretField('Bot token, xoxb-…'), botTokenProblem),
    refreshToken: checked(
      secretField('Refresh token, xoxe-…, where the app’s tokens rotate'),
      refreshTokenProblem,
    ),
    signingSecret: checked(
      secretField('Signing secret, where the Slack app is the org’s own'),
      signingSecretProblem,
    ),
    botUserId: checked(
      z.string().max(64).meta({ description: 'The bot’s id as a Slack user, U…' }),
      botUserIdProblem,
    ),
  })
  .transform(present)
