import type { makeIdempotency } from '../auth/idempotency.ts'
import type { Requirement } from '../auth/permissions.ts'
import type { Principal } from '../auth/principal.ts'

/** What the middlewares leave for the routes. */
export interface AppEnv {
  Variables: {
    requestId: string
    /** The client's, as far as it is known. */
    address: string | undefined
    principal: Principal
    /** Throws where the principal may not do this in the org; not found where it has nothing to do with it. */
    authorize: (orgId: string, requirement: Requirement) => Promise<void>
    idempotency: ReturnType<typeof makeIdempotency>
  }
}
