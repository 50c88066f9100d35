import { z } from 'zod'

const MAX_DOMAINS = 200
const MAX_NAME_LENGTH = 253
/** Letters, digits, hyphens inside; and `_`, which the DNS allows and real hosts have. [RFC 1123 §2.1, RFC 2181 §11] */
const LABEL = /^[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?$/

/** Whether a text in lower case can be a name of the DNS. */
export function isHostName(text: string): boolean {
  return text.length <= MAX_NAME_LENGTH && text.split('.').every((label) => LABEL.test(label))
}

/**
 * An org's own list of hosts that it may call: names, or `*.` and a name for everything under it. Exact, without regard to
 * case, in ASCII (`xn--…`). No addresses: a list of names that lets an address through is none.
 */
export const domainsSchema = z
  .array(
    z
      .string()
      .max(255)
      .transform((text) => text.toLowerCase())
      .refine(isDomain, 'must be a host name like example.com, or *.example.com'),
  )
  .max(MAX_DOMAINS)
  .transform((domains) => [...new Set(domains)])

function isDomain(text: string): boolean {
  const name = text.startsWith('*.') ? text.slice(2) : text
  if (!isHostName(name) || !URL.canParse(`http://${name}/`)) return false
  // URL parsers take what ends in a number for an address.
  return !/(?:^|\.)(?:\d+|0x[0-9a-f]*)$/.test(name) && new URL(`http://${name}/`).hostname === name
}

/** Whether a list has a host: the host as a parsed URL has it, without brackets or a dot at its end. */
export function hasDomain(domains: readonly string[], host: string): boolean {
  return domains.some((domain) =>
    domain.startsWith('*.') ? host.endsWith(domain.slice(1)) : host === domain,
  )
}
