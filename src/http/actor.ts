import type { Context } from 'hono'
import type { Actor } from '../core/actor.ts'
import type { AppEnv } from './env.ts'

/** Who sent this request, as the audit log keeps it. */
export function actorOf(c: Context<AppEnv>): Actor {
  return {
    principalId: c.get('principal').id,
    address: c.get('address') ?? null,
    requestId: c.get('requestId'),
  }
}
