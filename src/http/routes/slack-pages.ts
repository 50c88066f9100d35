import type { Context } from 'hono'
import type { AppEnv } from '../env.ts'

/** A page that says one thing. */
export function textPage(c: Context<AppEnv>, status: 200 | 400, title: string, text: string) {
  return page(c, status, title, `<p>${escapeHtml(text)}</p>`)
}

interface Start {
  readonly org: string
  /** What the app will be able to do. */
  readonly permissions: readonly string[]
  readonly ticket: string
}

/** Whoever opens the link sees which organization gets the workspace before anything happens. */
export function startPage(c: Context<AppEnv>, { org, permissions, ticket }: Start) {
  const able = permissions.map((permission) => `<li>${escapeHtml(permission)}</li>`).join('')
  return page(
    c,
    200,
    'Connect Slack',
    `<p>A Slack workspace of yours will be connected to <b>${escapeHtml(org)}</b>. The app there:</p><ul>${able}</ul>` +
      `<form method="post"><input type="hidden" name="ticket" value="${escapeHtml(ticket)}"><button>Continue to Slack</button></form>` +
      '<p>Whoever sent you this link gets what the app can do. If you do not know them, close this page.</p>',
  )
}

function page(c: Context<AppEnv>, status: 200 | 400, title: string, body: string) {
  c.header(
    'content-security-policy',
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'",
  )
  return c.html(
    `<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>${title}</title>` +
      '<style>body{font:16px/1.5 system-ui;margin:15vh auto;max-width:34rem;padding:0 1rem}button{font:inherit;padding:.5rem 1rem}</style>' +
      `<h1>${title}</h1>${body}</html>`,
    status,
  )
}

function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (sign) => `&#${sign.charCodeAt(0)};`)
}
