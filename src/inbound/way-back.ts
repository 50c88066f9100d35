import { z } from 'zod'
import { AppError } from '../core/error.ts'
import type { Queryable } from '../db/pool.ts'
import type { Log } from '../telemetry/log.ts'
import { type Question, questionSchema } from './question.ts'
import { owe } from './replies.ts'

/** How answers to a question get back to where it was asked: kept with a turn that goes on later. */
const waySchema = questionSchema
  .pick({ where: true, answer: true })
  .extend({ providerKey: z.string() })

export type Way = z.output<typeof waySchema>

interface TurnOnItsWay {
  readonly eventId: string
  readonly waiting: readonly { readonly eventId: string | null }[]
}

export interface WayBackDeps {
  /** The subscription that posts to a channel; made where there is none. null: this app has no channels. */
  readonly channelSubscription: (
    orgId: string,
    integrationId: string,
    providerKey: string,
    channel: string,
  ) => Promise<string | null>
  /** A subscription of the integration that is active and may have what was said; null: it has none. */
  readonly anySubscription: (orgId: string, integrationId: string) => Promise<string | null>
  /** Posts an answer to a URL that the app gave. Throws where it was not taken. */
  readonly postTo: (orgId: string, providerKey: string, url: string, text: string) => Promise<void>
}

/** The subscription that brings an answer; null: it goes another way. */
export function makeSubscriptionFor(deps: WayBackDeps) {
  return async (
    orgId: string,
    integrationId: string,
    providerKey: string,
    { answer, where }: Pick<Question, 'answer' | 'where'>,
  ): Promise<string | null> => {
    if (answer === 'webhook') return deps.anySubscription(orgId, integrationId)
    if (answer !== 'channel' || where === null || !('channel' in where)) return null
    return deps.channelSubscription(orgId, integrationId, providerKey, where.channel)
  }
}

/** Owes what a turn said, and what it has to ask a person for, to where it was asked. In the turn's transaction. */
export async function oweTurn(
  client: Queryable,
  orgId: string,
  subscriptionId: string,
  { eventId, waiting }: TurnOnItsWay,
): Promise<void> {
  await owe(client, orgId, subscriptionId, eventId)
  for (const call of waiting) {
    if (call.eventId !== null) await owe(client, orgId, subscriptionId, call.eventId)
  }
}

/**
 * The way back for a turn that goes on when a call it waited for was decided. Where there is none any more, as after the
 * integration was deleted, the turn goes on all the same: its conversation has the answer.
 */
export function makeWayBack(deps: WayBackDeps, log: Log) {
  const subscriptionFor = makeSubscriptionFor(deps)
  return async (
    orgId: string,
    { integrationId, way }: { readonly integrationId: string; readonly way?: unknown },
  ) => {
    const known = waySchema.parse(way)
    const { providerKey, answer } = known
    const fields = { org_id: orgId, integration_id: integrationId }
    const subscriptionId = await subscriptionFor(orgId, integrationId, providerKey, known).catch(
      (error: unknown) => {
        if (!isForGood(error)) throw error
        log.warn({ ...fields, err: error }, 'answer.not_brought')
        return null
      },
    )
    return {
      inTurn: async (client: Queryable, turn: TurnOnItsWay): Promise<void> => {
        if (subscriptionId !== null) await oweTurn(client, orgId, subscriptionId, turn)
      },
      after: async (text: string): Promise<void> => {
        if (typeof answer === 'string') return
        // Apps take no answers there after half an hour; the conversation has it.
        await deps.postTo(orgId, providerKey, answer.url, text).catch((error: unknown) => {
          log.warn({ ...fields, err: error }, 'answer.not_brought')
        })
      },
    }
  }
}

/** The integration is gone, or may have no further subscription. */
function isForGood(error: unknown): boolean {
  return error instanceof AppError && ['NOT_FOUND', 'UNPROCESSABLE'].includes(error.code)
}
