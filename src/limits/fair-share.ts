import type { Tenants } from '../db/tenants.ts'
import type { makeGate } from './gate.ts'

/** Ways into an org for as many transactions of it at once as the gate lets in: one org never has all connections. */
export function shareOut(
  { inOrg, readInOrg, writeInOrg }: Pick<Tenants, 'inOrg' | 'readInOrg' | 'writeInOrg'>,
  enter: ReturnType<typeof makeGate>,
): Pick<Tenants, 'inOrg' | 'readInOrg' | 'writeInOrg'> {
  return {
    inOrg: async (orgId, work) => {
      const leave = await enter(orgId)
      try {
        return await inOrg(orgId, work)
      } finally {
        leave()
      }
    },
    readInOrg: async (orgId, statement, values) =>
      readInOrg(orgId, statement, values, await enter(orgId)),
    writeInOrg: async (orgId, statement, values) =>
      writeInOrg(orgId, statement, values, await enter(orgId)),
  }
}
