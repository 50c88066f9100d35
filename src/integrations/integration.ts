import { and, eq, inArray, isNull } from 'drizzle-orm'
import type { Provider } from '../core/provider.ts'
import { isToolsProblemShown, parseToolsProblem } from '../core/tools-problem.ts'
import type { DbTx } from '../db/pool.ts'
import { type orgIntegrations, webhookSubscriptions } from '../db/schema.ts'

/** An integration as the API shows it. */
export interface Integration {
  readonly id: string
  readonly orgId: string
  readonly provider: { readonly key: string; readonly name: string }
  readonly name: string
  readonly isEnabled: boolean
  readonly config: Record<string, unknown>
  /** Names only: credentials never come back. */
  readonly credentialFields: string[]
  /** What it is installed in, as the app names it: a Slack workspace. */
  readonly externalName: string | null
  readonly status: 'connected' | 'needs_attention' | 'disconnected'
  /** For a person: what happened, and what to do. */
  readonly statusDetail: string | null
  readonly createdAt: string
  readonly updatedAt: string
}

type Row = typeof orgIntegrations.$inferSelect

const DISABLED = 'Disabled. What is owed is held until it is enabled.'

/** What the app said of subscriptions that it refuses, one for each integration. */
export async function readRefusals(
  tx: DbTx,
  orgId: string,
  integrationIds: readonly string[],
): Promise<Map<string, string>> {
  if (integrationIds.length === 0) return new Map()
  const {
    integrationId,
    disabledReason,
    needsAttention,
    deletedAt,
    orgId: ofOrg,
  } = webhookSubscriptions
  const rows = await tx
    .select({ integrationId, disabledReason })
    .from(webhookSubscriptions)
    .where(
      and(
        eq(ofOrg, orgId),
        inArray(integrationId, [...integrationIds]),
        eq(needsAttention, true),
        isNull(deletedAt),
      ),
    )
  return new Map(
    rows.map((row) => [row.integrationId, row.disabledReason ?? 'Refused by the app.']),
  )
}

/** @param refusal what the app said of one of its subscriptions */
export function toIntegration(
  row: Row,
  provider: Provider | null,
  refusal: string | undefined,
): Integration {
  return {
    id: row.id,
    orgId: row.orgId,
    provider: { key: row.providerKey, name: provider?.manifest.name ?? row.providerKey },
    name: row.name,
    isEnabled: row.isEnabled,
    config: row.config,
    credentialFields: row.credentialFields,
    externalName: row.externalName,
    ...statusOf(row, refusal),
    createdAt: row.createdAt.toISOString(),
    updatedAt: row.updatedAt.toISOString(),
  }
}

function statusOf(
  row: Row,
  refusal: string | undefined,
): Pick<Integration, 'status' | 'statusDetail'> {
  if (!row.isEnabled) {
    return { status: 'disconnected', statusDetail: row.disconnectedReason ?? DISABLED }
  }
  if (refusal !== undefined) return { status: 'needs_attention', statusDetail: refusal }
  const problem = parseToolsProblem(row.toolsProblem)
  if (problem !== null && isToolsProblemShown(problem, row.toolsReadAt !== null)) {
    return {
      status: 'needs_attention',
      statusDetail: `The tools of its MCP server could not be read: ${problem.reason}`,
    }
  }
  return { status: 'connected', statusDetail: null }
}
