const TOKEN = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/
const MAX_NAME_LENGTH = 256
const MAX_VALUE_LENGTH = 4096
const MAX_HEADERS = 32
/** Many servers take 16 KiB of request line and headers; the rest is for the longest URL and for ours. */
const MAX_TOTAL_BYTES = 12_800

/** Framing, hop-by-hop, or ours. An org that could set these could smuggle a request or forge a signature. */
const RESERVED = new Set([
  'accept-encoding',
  'age',
  'cache-control',
  'clear-site-data',
  'client-ip',
  'connection',
  'content-encoding',
  'content-language',
  'content-length',
  'content-location',
  'content-type',
  'date',
  'expect',
  'expires',
  'forwarded',
  'from',
  'host',
  'http2-settings',
  'idempotency-key',
  'keep-alive',
  'max-forwards',
  'metadata',
  'metadata-flavor',
  'origin',
  'pragma',
  'proxy-authenticate',
  'proxy-authorization',
  'proxy-connection',
  'range',
  'referer',
  'te',
  'traceparent',
  'tracestate',
  'trailer',
  'trailers',
  'transfer-encoding',
  'upgrade',
  'user-agent',
  'via',
  'warning',
])

/** Headers that pretend to come from a proxy or a cloud front end, or unlock a metadata service; and our own. */
const RESERVED_PREFIXES = [
  'cf-',
  'fastly-',
  'sec-',
  'svix-',
  'true-client-ip',
  'webhook-',
  'x-ai-chat-',
  'x-amz-',
  'x-amzn-',
  'x-appengine-',
  'x-aws-',
  'x-azure-',
  'x-client-ip',
  'x-cloud-trace-context',
  'x-cluster-client-ip',
  'x-envoy-',
  'x-fd-',
  'x-forwarded',
  'x-gcp-',
  'x-gfe',
  'x-goog-',
  'x-google',
  'x-http-method',
  'x-metadata-',
  'x-ms-',
  'x-original-',
  'x-real-ip',
  'x-remote-',
  'x-rewrite-',
  'x-svix-',
]

/** Why an org may not set this header, or null. [RFC 9110 §5.5, RFC 9112 §11] */
export function headerProblem(name: string, value: string): string | null {
  // Servers that hand headers on as variables (CGI, WSGI, Rack) read `_` and `-` as one.
  const lower = name.toLowerCase().replaceAll('_', '-')
  if (!TOKEN.test(name) || name.length > MAX_NAME_LENGTH) return 'is not a header name'
  if (RESERVED.has(lower) || RESERVED_PREFIXES.some((prefix) => lower.startsWith(prefix))) {
    return 'is set by Patchbay or by the network, and cannot be set here'
  }
  if (value.length > MAX_VALUE_LENGTH) {
    return `has a value of over ${MAX_VALUE_LENGTH} characters`
  }
  if (!/^[\t\x20-\x7e]*$/.test(value) || value !== value.trim()) {
    return 'has a value with characters that are not allowed in a header'
  }
  // The password of a cloud's metadata service, the same for everybody.
  if (lower === 'authorization' && /^bearer\s+oracle$/i.test(value)) {
    return 'has a value that no other server takes'
  }
  return null
}

/** Why this set of headers cannot be sent, with the name of the wrong one, or null. */
export function headersProblem(
  headers: Readonly<Record<string, string>>,
): { readonly name: string; readonly message: string } | null {
  const entries = Object.entries(headers)
  if (entries.length > MAX_HEADERS) return { name: '', message: `at most ${MAX_HEADERS} headers` }
  const total = entries.reduce((sum, [name, value]) => sum + name.length + value.length + 4, 0)
  if (total > MAX_TOTAL_BYTES) return { name: '', message: `over ${MAX_TOTAL_BYTES} bytes in all` }
  const seen = new Set<string>()
  for (const [name, value] of entries) {
    const message = headerProblem(name, value)
    if (message !== null) return { name, message }
    if (seen.has(name.toLowerCase())) return { name, message: 'is given twice' }
    seen.add(name.toLowerCase())
  }
  return null
}

/** Names whose values are credentials as a rule: masked when a subscription is read. */
export function isSensitiveHeader(name: string): boolean {
  return /auth|cookie|credential|key|pass|secret|signature|token/i.test(name)
}
