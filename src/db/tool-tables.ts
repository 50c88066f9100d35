import { boolean, integer, json, jsonb, smallint, text, uuid } from 'drizzle-orm/pg-core'
import { at, bytea, createdAt, id, patchbay } from './columns.ts'

export const externalToolDefinitions = patchbay.table('external_tool_definitions', {
  id: id(),
  orgId: text('org_id').notNull(),
  integrationId: uuid('integration_id').notNull(),
  name: text('name').notNull(),
  wireName: text('wire_name').notNull(),
  description: text('description').notNull(),
  argsSchema: jsonb('args_schema').$type<Record<string, unknown>>().notNull(),
  httpConfig: jsonb('http_config').$type<unknown>(),
  rateLimit: jsonb('rate_limit').$type<{
    perSecond?: number | undefined
    perMinute?: number | undefined
  }>(),
  isEnabled: boolean('is_enabled').notNull().default(true),
  approval: text('approval', { enum: ['auto', 'ask'] })
    .notNull()
    .default('auto'),
  outputSchema: jsonb('output_schema').$type<Record<string, unknown>>(),
  sourceKey: text('source_key'),
  source: jsonb('source').$type<Record<string, unknown>>(),
  createdAt: createdAt(),
  updatedAt: at('updated_at').notNull().defaultNow(),
})

export const toolRuns = patchbay.table('tool_runs', {
  id: uuid('id').primaryKey(),
  orgId: text('org_id').notNull(),
  tool: text('tool').notNull(),
  toolId: uuid('tool_id'),
  integrationId: uuid('integration_id'),
  host: text('host'),
  conversationId: text('conversation_id'),
  userId: text('user_id').notNull(),
  source: text('source').notNull(),
  outcome: text('outcome', {
    enum: ['running', 'success', 'error', 'timeout', 'blocked', 'unknown'],
  }).notNull(),
  durationMs: integer('duration_ms'),
  arguments: json('arguments').notNull(),
  result: text('result'),
  error: text('error'),
  dueAt: at('due_at'),
  finishedAt: at('finished_at'),
  attempts: smallint('attempts').notNull().default(1),
  approvalId: uuid('approval_id'),
})

export const toolApprovals = patchbay.table('tool_approvals', {
  id: id(),
  orgId: text('org_id').notNull(),
  tool: text('tool').notNull(),
  toolId: uuid('tool_id').notNull(),
  integrationId: uuid('integration_id').notNull(),
  userId: text('user_id').notNull(),
  source: text('source').notNull(),
  conversationId: text('conversation_id'),
  arguments: json('arguments').notNull(),
  call: bytea('call'),
  callHash: text('call_hash').notNull(),
  state: text('state', { enum: ['pending', 'approved', 'denied', 'expired'] })
    .notNull()
    .default('pending'),
  decidedBy: text('decided_by'),
  decidedAt: at('decided_at'),
  expiresAt: at('expires_at').notNull(),
  runId: uuid('run_id'),
  turn: bytea('turn'),
  collectedAt: at('collected_at'),
  isDone: boolean('is_done').notNull().default(false),
  tries: smallint('tries').notNull().default(0),
  leaseToken: uuid('lease_token'),
  leaseUntil: at('lease_until').notNull().defaultNow(),
  createdAt: createdAt(),
})

export const contextKeys = patchbay.table('context_keys', {
  id: text('id').primaryKey(),
  publicJwk: jsonb('public_jwk').$type<Record<string, unknown>>().notNull(),
  privateJwk: bytea('private_jwk').notNull(),
  createdAt: createdAt(),
  retiredAt: at('retired_at'),
})
