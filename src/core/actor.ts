/** Who does something, and from where: what the audit log keeps of it. */
export interface Actor {
  /** A user's id, or `key:` and an API key's. */
  readonly principalId: string
  /** The client's network address, as far as it is known. */
  readonly address: string | null
  /** Of the request, as it stands in the log. */
  readonly requestId: string | null
}

/** One line of the audit log. */
export interface AuditEntry {
  readonly orgId: string
  readonly by: Actor
  /** noun.past, like `webhook.created`. */
  readonly action: string
  /** The id of what it was done to. */
  readonly target: string
  /** Never a secret, never content. */
  readonly detail?: Readonly<Record<string, unknown>>
}
