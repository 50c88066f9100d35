import { z } from '@hono/zod-openapi'
import type { Actor } from '../../core/actor.ts'
import { RECOVERABLE } from '../../core/recovery.ts'
import { DEFAULT_OVERLAP_S } from '../../core/rotation.ts'
import type { makeRecover } from '../../history/recover.ts'
import type { makeStats } from '../../history/stats.ts'
import type { makeSubscriptions } from '../../integrations/subscriptions.ts'
import { actorOf } from '../actor.ts'
import { requires } from '../middleware/auth.ts'
import { makeRouter, route } from '../route.ts'
import { body, json, overlapBody, time, uuid } from '../schemas.ts'
import { webhookParam, webhookPath } from './webhooks.ts'

const recovery = z
  .object({
    id: uuid,
    state: z.enum(['running', 'done', 'canceled']),
    matched: z.int(),
    queued: z.int(),
    skipped: z.int().openapi({ description: 'Could not be sent any more when their turn came' }),
    since: time,
    until: time,
    statuses: z.array(z.enum(RECOVERABLE)),
    createdAt: time,
    finishedAt: time.nullable(),
  })
  .openapi('Recovery')
const bucket = z.object({
  start: time,
  delivered: z.int(),
  failed: z.int(),
  attempts: z.int(),
  failedAttempts: z.int(),
})
const stats = z
  .object({
    since: time,
    delivered: z.int(),
    failed: z.int(),
    expired: z.int(),
    canceled: z.int(),
    owed: z.int(),
    attempts: z.int(),
    failedAttempts: z.int(),
    p50Ms: z.int().nullable(),
    p99Ms: z.int().nullable(),
    bucketSeconds: z.int(),
    buckets: z.array(bucket),
  })
  .openapi('WebhookStats')
const tags = ['Webhooks']
const middleware = requires('org:tools:manage')

const rotateSecret = route({
  method: 'post',
  path: `${webhookPath}/rotate-secret`,
  tags,
  summary: 'A new signing secret, beside the old one for a while',
  middleware,
  request: {
    params: webhookParam,
    body: overlapBody,
  },
  responses: {
    200: json(
      z.object({ secret: z.string(), previousExpiresAt: time }),
      'The secret is shown this once',
    ),
  },
})

const testWebhook = route({
  method: 'post',
  path: `${webhookPath}/test`,
  tags,
  summary: 'Send a test event to this subscription only',
  middleware,
  request: { params: webhookParam },
  responses: { 202: json(z.object({ eventId: uuid, deliveryId: uuid }), 'On its way') },
})

const recover = route({
  method: 'post',
  path: `${webhookPath}/recover`,
  tags,
  summary: 'Send again what failed, was canceled or was missed in a window',
  middleware,
  request: {
    params: webhookParam,
    body: body(
      z.strictObject({
        since: time,
        until: time.optional(),
        statuses: z.array(z.enum(RECOVERABLE)).min(1).optional(),
        dryRun: z.boolean().optional(),
      }),
    ),
  },
  responses: {
    200: json(z.object({ matched: z.int() }), 'Dry run: how many would be sent'),
    202: json(z.object({ recovery }), 'Begun'),
  },
})

const getRecovery = route({
  method: 'get',
  path: `${webhookPath}/recoveries/{recoveryId}`,
  tags,
  summary: 'How far a recovery is',
  middleware,
  request: { params: webhookParam.extend({ recoveryId: uuid }) },
  responses: { 200: json(z.object({ recovery }), 'Found') },
})

const getStats = route({
  method: 'get',
  path: `${webhookPath}/stats`,
  tags,
  summary: 'How a subscription does',
  middleware,
  request: { params: webhookParam, query: z.object({ since: time.optional() }) },
  responses: { 200: json(stats, 'Since a day ago, unless asked otherwise') },
})

export interface WebhookActionsDeps {
  readonly subscriptions: ReturnType<typeof makeSubscriptions>
  readonly recover: ReturnType<typeof makeRecover>
  readonly stats: ReturnType<typeof makeStats>
  readonly ping: (
    orgId: string,
    integrationId: string,
    webhookId: string,
    by: Actor,
  ) => Promise<{ eventId: string; deliveryId: string }>
  /** Something became ready. */
  readonly wake: () => void
  /** A recovery was begun. */
  readonly pumpRecoveries: () => Promise<void>
}

export function webhookActionRoutes(deps: WebhookActionsDeps) {
  return makeRouter()
    .openapi(rotateSecret, async (c) => {
      const { orgId, integrationId, webhookId } = c.req.valid('param')
      const overlapS = c.req.valid('json').overlapSeconds ?? DEFAULT_OVERLAP_S
      const by = actorOf(c)
      return c.json(
        await deps.subscriptions.rotateSecret(orgId, integrationId, webhookId, overlapS, by),
        200,
      )
    })
    .openapi(testWebhook, async (c) => {
      const { orgId, integrationId, webhookId } = c.req.valid('param')
      const sent = await deps.ping(orgId, integrationId, webhookId, actorOf(c))
      deps.wake()
      return c.json(sent, 202)
    })
    .openapi(recover, async (c) => {
      const { since, until, statuses, dryRun } = c.req.valid('json')
      const request = {
        ...c.req.valid('param'),
        since: new Date(since),
        until: until === undefined ? null : new Date(until),
        statuses: statuses ?? ['failed' as const],
      }
      if (dryRun === true) return c.json({ matched: await deps.recover.count(request) }, 200)
      const begun = await deps.recover.begin(request, actorOf(c))
      await deps.pumpRecoveries()
      return c.json({ recovery: begun }, 202)
    })
    .openapi(getRecovery, async (c) => {
      const { orgId, integrationId, webhookId, recoveryId } = c.req.valid('param')
      await deps.subscriptions.get(orgId, integrationId, webhookId)
      return c.json({ recovery: await deps.recover.get(orgId, webhookId, recoveryId) }, 200)
    })
    .openapi(getStats, async (c) => {
      const { orgId, integrationId, webhookId } = c.req.valid('param')
      await deps.subscriptions.get(orgId, integrationId, webhookId)
      const { since } = c.req.valid('query')
      const from = since === undefined ? null : new Date(since)
      return c.json(await deps.stats(orgId, webhookId, from), 200)
    })
}
