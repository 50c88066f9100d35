import type { InOrg } from '../db/tenants.ts'
import type { makeGate } from './gate.ts'

/** `inOrg` for as many transactions of one org at once as the gate lets in: one org never has all connections. */
export function shareOut(inOrg: InOrg, enter: ReturnType<typeof makeGate>): InOrg {
  return async (orgId, work) => {
    const leave = await enter(orgId)
    try {
      return await inOrg(orgId, work)
    } finally {
      leave()
    }
  }
}
