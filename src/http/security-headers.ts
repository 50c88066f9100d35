/** On every answer, also on those that no route gives. A page with a policy of its own replaces the first. */
export const SECURITY_HEADERS = {
  'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
  'referrer-policy': 'no-referrer',
  // Keeps other sites from embedding an answer; pages of `CORS_ORIGINS` read it through CORS, which this does not touch.
  'cross-origin-resource-policy': 'same-origin',
  'cache-control': 'no-store',
} as const
