import { invalidField } from '../core/error.ts'
import { isSensitiveHeader } from '../core/header.ts'
import type { webhookSubscriptions } from '../db/schema.ts'
import type { HealthRow } from './queries.ts'

const MASK = '••••••••'

/** A subscription as the API shows it. */
export interface Subscription {
  readonly id: string
  readonly orgId: string
  readonly integrationId: string
  readonly url: string
  readonly description: string | null
  readonly eventTypes: string[]
  readonly isActive: boolean
  readonly disabledReason: string | null
  readonly headers: Record<string, string>
  readonly rateLimit: { readonly perSecond: number } | null
  readonly ordering: 'none' | 'conversation'
  readonly maxAgeSeconds: number | null
  readonly retrySchedule: number[] | null
  readonly content: 'thin' | 'full'
  readonly health: {
    readonly state: 'healthy' | 'failing' | 'open' | 'disabled'
    readonly consecutiveFailures: number
    readonly failingSince: string | null
    readonly lastError: string | null
    /** When an open circuit lets the next delivery through. */
    readonly nextProbeAt: string | null
    readonly lastDeliveredAt: string | null
    readonly owed: number
  }
  readonly createdAt: string
  readonly updatedAt: string
}

/** Where a sealed column of a subscription lives. */
export function sealContext(orgId: string, rowId: string, column: string) {
  return { orgId, table: 'webhook_subscriptions', column, rowId }
}

/** Header values that look like credentials are not shown again. */
export function maskHeaders(headers: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(headers).map(([name, value]) => [name, isSensitiveHeader(name) ? MASK : value]),
  )
}

export function isMasked(value: string): boolean {
  return value === MASK
}

export function toSubscription(
  row: typeof webhookSubscriptions.$inferSelect,
  headers: Record<string, string>,
  health: HealthRow | undefined,
): Subscription {
  return {
    id: row.id,
    orgId: row.orgId,
    integrationId: row.integrationId,
    url: row.url,
    description: row.description,
    eventTypes: row.eventTypes,
    isActive: row.isActive,
    disabledReason: row.disabledReason,
    headers,
    rateLimit: row.rateLimit === null ? null : { perSecond: row.rateLimit },
    ordering: row.ordering,
    maxAgeSeconds: row.maxAgeSeconds,
    retrySchedule: row.retrySchedule,
    content: row.content,
    health: toHealth(row.isActive, health),
    createdAt: row.createdAt.toISOString(),
    updatedAt: row.updatedAt.toISOString(),
  }
}

function toHealth(isActive: boolean, health: HealthRow | undefined): Subscription['health'] {
  const failures = health?.consecutive_failures ?? 0
  const whileActive = health?.is_open === true ? 'open' : failures > 0 ? 'failing' : 'healthy'
  return {
    state: isActive ? whileActive : 'disabled',
    consecutiveFailures: failures,
    failingSince: health?.failing_since ?? null,
    lastError: health?.last_error ?? null,
    nextProbeAt: isActive ? (health?.next_probe_at ?? null) : null,
    lastDeliveredAt: health?.last_delivered_at ?? null,
    owed: health?.owed ?? 0,
  }
}

/** A credential that was stored for one host is not handed to another, which whoever moves the URL may have chosen. */
export function assertHeadersForHost(
  before: Pick<typeof webhookSubscriptions.$inferSelect, 'url' | 'sealedUrl' | 'headerNames'>,
  change: {
    readonly url?: string | undefined
    readonly headers?: Readonly<Record<string, string>> | undefined
  },
): void {
  // Where the URL is a secret, its provider fixes the host.
  if (change.url === undefined || before.sealedUrl !== null) return
  if (new URL(change.url).hostname === new URL(before.url).hostname) return
  const given = change.headers
  const kept = before.headerNames.find(
    (name) => isSensitiveHeader(name) && (given === undefined || isMasked(given[name] ?? '')),
  )
  if (kept === undefined) return
  throw invalidField(
    `headers.${kept}`,
    'was stored for another host: give it again, or leave it out',
  )
}
