/** The door for a host application: record events, verify webhooks. */
export { AppError, type ErrorCode } from './core/error.ts'
export { EVENT_TYPES, type EventTypeEntry } from './core/event-types.ts'
export { fromDrizzle, fromKnex, fromKysely, fromPrisma } from './outbox/adapters.ts'
export { type EmitTransaction, type EventInput, emit } from './outbox/emit.ts'
export { makeWake, type WakePool } from './outbox/wake.ts'
export {
  type VerifyOptions,
  verifyWebhook,
  type WebhookEvent,
  WebhookVerificationError,
} from './security/signature.ts'
