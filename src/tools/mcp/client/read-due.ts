import type { Queryable } from '../../../db/pool.ts'
import type { Log } from '../../../telemetry/log.ts'
import type { makeReadTools } from './read-tools.ts'

/** Of one look at all that is due: servers that hang do not hold up what comes after them. */
const DUE_MS = 25_000
const AT_ONCE = 8

const DUE = `
select i.org_id as "orgId", i.id
from patchbay.org_integrations as i
where i.provider_key = 'mcp' and i.is_enabled and i.deleted_at is null
  and coalesce(i.tools_fresh_until, '-infinity'::timestamptz) < now()
  and (i.tools_reading_until is null or i.tools_reading_until < now())
order by coalesce(i.tools_fresh_until, '-infinity'::timestamptz)
limit 500`

interface ReadDueDeps {
  /** Sees every org: nobody is asking. */
  readonly db: Queryable
  readonly readTools: ReturnType<typeof makeReadTools>
  readonly log: Log
}

/** Reads the tools of all MCP integrations whose time has come, a few at a time; what is left is due with the next look. */
export function makeReadDue({ db, readTools, log }: ReadDueDeps) {
  return async function readDue(): Promise<void> {
    const { rows } = await db.query<{ orgId: string; id: string }>({ text: DUE, values: [] })
    const until = performance.now() + DUE_MS
    const due = rows.values()
    const readSome = async () => {
      for (const { orgId, id } of due) {
        if (performance.now() > until) break
        await readTools(orgId, id).catch((error: unknown) => {
          log.warn({ err: error, org_id: orgId, integration_id: id }, 'tools.not_read')
        })
      }
    }
    await Promise.all(Array.from({ length: AT_ONCE }, readSome))
  }
}
