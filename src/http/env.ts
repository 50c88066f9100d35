import type { HttpBindings } from '@hono/node-server'
import type { makeIdempotency } from '../auth/idempotency.ts'
import type { Requirement } from '../auth/permissions.ts'
import type { Principal } from '../auth/principal.ts'
import type { ErrorCode } from '../core/error.ts'

/** What the middlewares leave for the routes. */
export interface AppEnv {
  /** Of the server; an app that is asked without one has none. */
  Bindings: Partial<HttpBindings>
  Variables: {
    requestId: string
    /** The client's, as far as it is known. */
    address: string | undefined
    /** Of the problem it was answered with. */
    errorCode: ErrorCode | undefined
    /** The org it asked about, whether it may or not. */
    orgId: string | undefined
    principal: Principal
    /** Throws where the principal may not do this in the org; not found where it has nothing to do with it. */
    authorize: (orgId: string, requirement: Requirement) => Promise<void>
    idempotency: ReturnType<typeof makeIdempotency>
  }
}
