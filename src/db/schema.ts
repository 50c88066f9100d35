import { sql } from 'drizzle-orm'
import {
  bigint,
  boolean,
  doublePrecision,
  integer,
  json,
  jsonb,
  primaryKey,
  smallint,
  text,
  uuid,
} from 'drizzle-orm/pg-core'
import { at, bytea, createdAt, id, newId, patchbay } from './columns.ts'

// What drizzle knows. The migrations are the truth; `schema.pg.test.ts` compares every column here with theirs.

export const orgs = patchbay.table('orgs', {
  id: text('id').primaryKey(),
  name: text('name').notNull(),
  createdAt: createdAt(),
})

export const egressAllowLists = patchbay.table('egress_allow_lists', {
  orgId: text('org_id').primaryKey(),
  domains: text('domains').array().notNull(),
  updatedAt: at('updated_at').notNull().defaultNow(),
})

export const orgMembers = patchbay.table(
  'org_members',
  {
    orgId: text('org_id').notNull(),
    userId: text('user_id').notNull(),
    role: text('role', { enum: ['owner', 'admin', 'member', 'viewer'] }).notNull(),
    createdAt: createdAt(),
  },
  (table) => [primaryKey({ columns: [table.orgId, table.userId] })],
)

export const apiKeys = patchbay.table(
  'api_keys',
  {
    orgId: text('org_id').notNull(),
    id: uuid('id').notNull().default(newId),
    name: text('name').notNull(),
    permissions: text('permissions').array().notNull(),
    hash: bytea('hash').notNull(),
    hint: text('hint').notNull(),
    createdBy: text('created_by').notNull(),
    createdAt: createdAt(),
    expiresAt: at('expires_at'),
    lastUsedAt: at('last_used_at'),
    madeBy: uuid('made_by'),
  },
  (table) => [primaryKey({ columns: [table.orgId, table.id] })],
)

export const dataKeys = patchbay.table(
  'data_keys',
  {
    orgId: text('org_id').notNull(),
    id: uuid('id').notNull().default(newId),
    wrapped: bytea('wrapped').notNull(),
    masterKeyId: text('master_key_id').notNull(),
    createdAt: createdAt(),
  },
  (table) => [primaryKey({ columns: [table.orgId, table.id] })],
)

export const integrationProviders = patchbay.table('integration_providers', {
  key: text('key').primaryKey(),
  name: text('name').notNull(),
  description: text('description').notNull(),
  manifest: jsonb('manifest').notNull(),
  syncedAt: at('synced_at').notNull().defaultNow(),
})

export const orgIntegrations = patchbay.table('org_integrations', {
  id: id(),
  orgId: text('org_id').notNull(),
  providerKey: text('provider_key').notNull(),
  name: text('name').notNull(),
  isEnabled: boolean('is_enabled').notNull().default(true),
  credentials: bytea('credentials'),
  credentialFields: text('credential_fields').array().notNull().default([]),
  config: jsonb('config').$type<Record<string, unknown>>().notNull().default({}),
  externalId: text('external_id'),
  externalName: text('external_name'),
  disconnectedReason: text('disconnected_reason'),
  inboundSecrets: bytea('inbound_secrets'),
  toolSecrets: bytea('tool_secrets'),
  toolsReadAt: at('tools_read_at'),
  toolsProblem: text('tools_problem'),
  toolsFreshUntil: at('tools_fresh_until'),
  toolsReadingUntil: at('tools_reading_until'),
  tokenExpiresAt: at('token_expires_at'),
  refreshingUntil: at('refreshing_until'),
  revision: integer('revision').notNull().default(1),
  createdAt: createdAt(),
  updatedAt: at('updated_at').notNull().defaultNow(),
  deletedAt: at('deleted_at'),
})

export const webhookSubscriptions = patchbay.table('webhook_subscriptions', {
  id: id(),
  orgId: text('org_id').notNull(),
  integrationId: uuid('integration_id').notNull(),
  url: text('url').notNull(),
  sealedUrl: bytea('sealed_url'),
  eventTypes: text('event_types').array().notNull(),
  secrets: bytea('secrets').notNull(),
  isActive: boolean('is_active').notNull().default(true),
  disabledReason: text('disabled_reason'),
  needsAttention: boolean('needs_attention').notNull().default(false),
  description: text('description'),
  headers: bytea('headers'),
  headerNames: text('header_names').array().notNull().default([]),
  maxAgeSeconds: integer('max_age_seconds'),
  retrySchedule: integer('retry_schedule').array(),
  rateLimit: doublePrecision('rate_limit'),
  ordering: text('ordering', { enum: ['none', 'conversation'] })
    .notNull()
    .default('none'),
  content: text('content', { enum: ['thin', 'full'] })
    .notNull()
    .default('thin'),
  revision: integer('revision').notNull().default(1),
  createdAt: createdAt(),
  updatedAt: at('updated_at').notNull().defaultNow(),
  deletedAt: at('deleted_at'),
})

export const subscriptionPatterns = patchbay.table(
  'subscription_patterns',
  {
    orgId: text('org_id').notNull(),
    pattern: text('pattern').notNull(),
    subscriptionId: uuid('subscription_id').notNull(),
  },
  (table) => [primaryKey({ columns: [table.orgId, table.pattern, table.subscriptionId] })],
)

export const subscriptionHealth = patchbay.table('subscription_health', {
  subscriptionId: uuid('subscription_id').primaryKey(),
  orgId: text('org_id').notNull(),
  consecutiveFailures: integer('consecutive_failures').notNull().default(0),
  firstFailureAt: at('first_failure_at'),
  lastDeliveredAt: at('last_delivered_at'),
  lastFailedAt: at('last_failed_at'),
  lastError: text('last_error'),
  openUntil: at('open_until'),
  probeAt: at('probe_at'),
  probeToken: uuid('probe_token'),
  failedProbes: integer('failed_probes').notNull().default(0),
  isResuming: boolean('is_resuming').notNull().default(false),
  resumeAt: at('resume_at'),
  resumeStep: integer('resume_step').notNull().default(0),
  nextSlotAt: at('next_slot_at'),
  isProven: boolean('is_proven')
    .notNull()
    .generatedAlwaysAs(sql`consecutive_failures = 0 and last_delivered_at is not null`),
})

export const subscriptionStates = patchbay.table(
  'subscription_states',
  {
    subscriptionId: uuid('subscription_id').notNull(),
    at: at('at').notNull().default(sql`clock_timestamp()`),
    orgId: text('org_id').notNull(),
    eventTypes: text('event_types').array().notNull(),
    isLive: boolean('is_live').notNull(),
    reason: text('reason'),
  },
  (table) => [primaryKey({ columns: [table.subscriptionId, table.at] })],
)

export const outboxEvents = patchbay.table('outbox_events', {
  id: uuid('id').primaryKey(),
  orgId: text('org_id').notNull(),
  type: text('type').notNull(),
  conversationId: text('conversation_id'),
  data: json('data').notNull(),
  occurredAt: at('occurred_at').notNull(),
  traceParent: text('trace_parent'),
  onlyFor: uuid('only_for'),
  exceptFor: uuid('except_for'),
})

export const outboxPending = patchbay.table('outbox_pending', {
  eventId: uuid('event_id').primaryKey(),
  orgId: text('org_id').notNull(),
  place: bigint('place', { mode: 'number' })
    .notNull()
    .default(sql`nextval('patchbay.outbox_places')`),
  type: text('type'),
  conversationId: text('conversation_id'),
  exceptFor: uuid('except_for'),
})

export const outboxKeys = patchbay.table(
  'outbox_keys',
  {
    orgId: text('org_id').notNull(),
    key: text('key').notNull(),
    eventId: uuid('event_id').notNull(),
    expiresAt: at('expires_at').notNull(),
  },
  (table) => [primaryKey({ columns: [table.orgId, table.key] })],
)

export const deliveryQueue = patchbay.table('delivery_queue', {
  id: id(),
  orgId: text('org_id').notNull(),
  subscriptionId: uuid('subscription_id').notNull(),
  eventId: uuid('event_id').notNull(),
  attempt: integer('attempt').notNull().default(1),
  step: smallint('step').notNull().default(0),
  trigger: text('trigger').notNull().default('schedule'),
  ready: boolean('ready').notNull().default(true),
  dueAt: at('due_at').notNull().defaultNow(),
  resumeAt: at('resume_at'),
  leaseToken: uuid('lease_token'),
  orderingKey: text('ordering_key'),
  place: bigint('place', { mode: 'number' }),
  blocked: boolean('blocked').notNull().default(false),
  extraTries: smallint('extra_tries').notNull().default(0),
  resumeTrigger: text('resume_trigger'),
})

export const webhookDeliveryLog = patchbay.table('webhook_delivery_log', {
  deliveryId: uuid('delivery_id').notNull(),
  orgId: text('org_id').notNull(),
  subscriptionId: uuid('subscription_id').notNull(),
  eventId: uuid('event_id').notNull(),
  attempt: integer('attempt').notNull(),
  outcome: text('outcome').notNull(),
  isFinal: boolean('is_final').notNull(),
  statusCode: smallint('status_code'),
  durationMs: integer('duration_ms'),
  error: text('error'),
  responseSnippet: text('response_snippet'),
  trigger: text('trigger').notNull(),
  createdAt: createdAt(),
})

export const conversations = patchbay.table('conversations', {
  id: id(),
  orgId: text('org_id').notNull(),
  title: text('title'),
  createdBy: text('created_by').notNull(),
  createdAt: createdAt(),
})

export const messages = patchbay.table('messages', {
  id: id(),
  orgId: text('org_id').notNull(),
  conversationId: uuid('conversation_id').notNull(),
  role: text('role', { enum: ['user', 'assistant'] }).notNull(),
  content: text('content').notNull(),
  userId: text('user_id'),
  model: text('model'),
  integrationId: uuid('integration_id'),
  externalUser: jsonb('external_user').$type<{ id: string; name: string | null }>(),
  createdAt: createdAt(),
})

export const appInstalls = patchbay.table('app_installs', {
  hash: bytea('hash').primaryKey(),
  orgId: text('org_id').notNull(),
  userId: text('user_id').notNull(),
  browserHash: bytea('browser_hash').notNull(),
  expiresAt: at('expires_at').notNull(),
})

export const appThreads = patchbay.table(
  'app_threads',
  {
    orgId: text('org_id').notNull(),
    integrationId: uuid('integration_id').notNull(),
    channel: text('channel').notNull(),
    conversationId: text('conversation_id').notNull(),
    thread: text('thread').notNull(),
    createdAt: createdAt(),
  },
  (table) => [
    primaryKey({
      columns: [table.orgId, table.integrationId, table.channel, table.conversationId],
    }),
  ],
)

export const inboundEvents = patchbay.table('inbound_events', {
  id: id(),
  orgId: text('org_id').notNull(),
  integrationId: uuid('integration_id').notNull(),
  key: text('key').notNull(),
  state: text('state', { enum: ['waiting', 'done', 'failed'] })
    .notNull()
    .default('waiting'),
  payload: bytea('payload'),
  tries: smallint('tries').notNull().default(0),
  dueAt: at('due_at').notNull().defaultNow(),
  leaseToken: uuid('lease_token'),
  lastError: text('last_error'),
  conversationId: uuid('conversation_id'),
  messageId: uuid('message_id'),
  answerId: uuid('answer_id'),
  createdAt: createdAt(),
})

export const idempotencyKeys = patchbay.table(
  'idempotency_keys',
  {
    orgId: text('org_id').notNull(),
    principalId: text('principal_id').notNull(),
    key: text('key').notNull(),
    requestHash: bytea('request_hash').notNull(),
    status: smallint('status'),
    answer: bytea('answer'),
    holder: uuid('holder'),
    aliveAt: at('alive_at').notNull().defaultNow(),
    createdAt: createdAt(),
  },
  (table) => [primaryKey({ columns: [table.orgId, table.principalId, table.key] })],
)

export const auditLog = patchbay.table('audit_log', {
  id: id(),
  orgId: text('org_id').notNull(),
  principalId: text('principal_id').notNull(),
  action: text('action').notNull(),
  target: text('target').notNull(),
  address: text('address'),
  requestId: text('request_id'),
  detail: jsonb('detail').$type<Record<string, unknown>>().notNull().default({}),
})

export const recoveries = patchbay.table('recoveries', {
  id: id(),
  orgId: text('org_id').notNull(),
  subscriptionId: uuid('subscription_id').notNull(),
  since: at('since').notNull(),
  until: at('until').notNull(),
  statuses: text('statuses').array().notNull(),
  state: text('state', { enum: ['running', 'done', 'canceled'] })
    .notNull()
    .default('running'),
  matched: integer('matched').notNull(),
  queued: integer('queued').notNull().default(0),
  skipped: integer('skipped').notNull().default(0),
  requestedBy: text('requested_by').notNull(),
  pacedFrom: at('paced_from').notNull().defaultNow(),
  createdAt: createdAt(),
  finishedAt: at('finished_at'),
})

export const recoveryItems = patchbay.table(
  'recovery_items',
  {
    orgId: text('org_id').notNull(),
    recoveryId: uuid('recovery_id').notNull(),
    eventId: uuid('event_id').notNull(),
    deliveryId: uuid('delivery_id'),
  },
  (table) => [primaryKey({ columns: [table.recoveryId, table.eventId] })],
)

export const rateLimits = patchbay.table('rate_limits', {
  key: text('key').primaryKey(),
  points: integer('points').notNull(),
  expire: bigint('expire', { mode: 'number' }),
})
