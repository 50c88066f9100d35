import { sql } from 'drizzle-orm'
import {
  boolean,
  customType,
  integer,
  json,
  jsonb,
  pgSchema,
  primaryKey,
  smallint,
  text,
  timestamp,
  uuid,
} from 'drizzle-orm/pg-core'

/**
 * What drizzle knows of the database. The migrations are the truth; `schema.pg.test.ts` compares every column here with
 * theirs.
 */
const patchbay = pgSchema('patchbay')

const bytea = customType<{ data: Buffer }>({ dataType: () => 'bytea' })
const newId = sql`patchbay.new_id()`
const id = () => uuid('id').primaryKey().default(newId)
const at = (name: string) => timestamp(name, { withTimezone: true, mode: 'date' })
const createdAt = () => at('created_at').notNull().defaultNow()

export const orgs = patchbay.table('orgs', {
  id: text('id').primaryKey(),
  name: text('name').notNull(),
  createdAt: createdAt(),
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
  description: text('description'),
  headers: bytea('headers'),
  headerNames: text('header_names').array().notNull().default([]),
  maxAgeSeconds: integer('max_age_seconds'),
  retrySchedule: integer('retry_schedule').array(),
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
})

export const outboxEvents = patchbay.table('outbox_events', {
  id: uuid('id').primaryKey(),
  orgId: text('org_id').notNull(),
  type: text('type').notNull(),
  conversationId: text('conversation_id'),
  data: json('data').notNull(),
  occurredAt: at('occurred_at').notNull(),
  traceParent: text('trace_parent'),
})

export const outboxPending = patchbay.table('outbox_pending', {
  eventId: uuid('event_id').primaryKey(),
  orgId: text('org_id').notNull(),
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

export const externalToolDefinitions = patchbay.table('external_tool_definitions', {
  id: id(),
  orgId: text('org_id').notNull(),
  integrationId: uuid('integration_id').notNull(),
  name: text('name').notNull(),
  wireName: text('wire_name').notNull(),
  description: text('description').notNull(),
  argsSchema: jsonb('args_schema').$type<Record<string, unknown>>().notNull(),
  httpConfig: jsonb('http_config').$type<unknown>().notNull(),
  isEnabled: boolean('is_enabled').notNull().default(true),
  createdAt: createdAt(),
  updatedAt: at('updated_at').notNull().defaultNow(),
})

export const toolRuns = patchbay.table('tool_runs', {
  id: uuid('id').primaryKey(),
  orgId: text('org_id').notNull(),
  tool: text('tool').notNull(),
  toolId: uuid('tool_id'),
  integrationId: uuid('integration_id'),
  conversationId: text('conversation_id'),
  userId: text('user_id').notNull(),
  source: text('source', { enum: ['chat', 'api'] }).notNull(),
  outcome: text('outcome', { enum: ['success', 'error', 'timeout', 'blocked'] }).notNull(),
  durationMs: integer('duration_ms').notNull(),
  arguments: json('arguments').notNull(),
  result: text('result'),
  error: text('error'),
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
    createdAt: createdAt(),
  },
  (table) => [primaryKey({ columns: [table.orgId, table.principalId, table.key] })],
)
