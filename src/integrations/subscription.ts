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
  const failures = health?.consecutive_failures ?? 0
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
    rateLimit: null,
    ordering: 'none',
    maxAgeSeconds: row.maxAgeSeconds,
    retrySchedule: row.retrySchedule,
    content: row.content,
    health: {
      state: row.isActive ? (failures > 0 ? 'failing' : 'healthy') : 'disabled',
      consecutiveFailures: failures,
      lastDeliveredAt: health?.last_delivered_at ?? null,
      owed: health?.owed ?? 0,
    },
    createdAt: row.createdAt.toISOString(),
    updatedAt: row.updatedAt.toISOString(),
  }
}
