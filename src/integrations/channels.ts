import { and, asc, desc, eq, isNull, sql } from 'drizzle-orm'
import type { Actor } from '../core/actor.ts'
import { webhookSubscriptions } from '../db/schema.ts'
import type { InOrg } from '../db/tenants.ts'
import type { SubscriptionInput } from './subscriptions.ts'

interface ChannelsDeps {
  readonly inOrg: InOrg
  readonly create: (
    orgId: string,
    integrationId: string,
    input: SubscriptionInput,
    by: Actor,
  ) => Promise<{ readonly webhook: { readonly id: string } }>
}

/** Subscriptions that post to channels of an app, for those who answer there. */
export function makeChannels({ inOrg, create }: ChannelsDeps) {
  const ofIntegration = (orgId: string, integrationId: string) =>
    and(
      eq(webhookSubscriptions.orgId, orgId),
      eq(webhookSubscriptions.integrationId, integrationId),
      isNull(webhookSubscriptions.deletedAt),
    )

  async function find(
    orgId: string,
    integrationId: string,
    url: string,
    isForAnswers: boolean,
  ): Promise<string | null> {
    // An answer is text: a subscription that may have none cannot bring it.
    const mayHaveText = isForAnswers ? eq(webhookSubscriptions.content, 'full') : undefined
    const [row] = await inOrg(orgId, (tx) =>
      tx
        .select({ id: webhookSubscriptions.id })
        .from(webhookSubscriptions)
        .where(
          and(ofIntegration(orgId, integrationId), eq(webhookSubscriptions.url, url), mayHaveText),
        )
        // One that a person made goes first: its pace and its health are the channel's.
        .orderBy(
          desc(sql`cardinality(${webhookSubscriptions.eventTypes})`),
          asc(webhookSubscriptions.id),
        )
        .limit(1),
    )
    return row?.id ?? null
  }

  return {
    /** The subscription that posts to a channel; made, for answers alone, where there is none. */
    async ensure(
      orgId: string,
      integrationId: string,
      channel: { readonly url: string; readonly description: string },
      by: Actor,
      eventTypes: readonly string[] = [],
    ): Promise<string> {
      const { url, description } = channel
      const isForAnswers = eventTypes.length === 0
      const known = await find(orgId, integrationId, url, isForAnswers)
      if (known !== null) return known
      try {
        const input = { url, description, eventTypes, content: 'full' as const }
        return (await create(orgId, integrationId, input, by)).webhook.id
      } catch (error) {
        // Another process made it at the same moment.
        const made = await find(orgId, integrationId, url, isForAnswers)
        if (made === null) throw error
        return made
      }
    },

    /** One of the integration that is active and may have what was said; null: it has none. */
    async any(orgId: string, integrationId: string): Promise<string | null> {
      const [row] = await inOrg(orgId, (tx) =>
        tx
          .select({ id: webhookSubscriptions.id })
          .from(webhookSubscriptions)
          .where(
            and(
              ofIntegration(orgId, integrationId),
              eq(webhookSubscriptions.isActive, true),
              eq(webhookSubscriptions.content, 'full'),
            ),
          )
          .orderBy(asc(webhookSubscriptions.id))
          .limit(1),
      )
      return row?.id ?? null
    },
  }
}
