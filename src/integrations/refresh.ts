import { setTimeout as sleep } from 'node:timers/promises'
import type { CallApp, Credentials, Provider } from '../core/provider.ts'
import type { Queryable } from '../db/pool.ts'
import type { Keyring } from '../security/keyring.ts'
import type { Log } from '../telemetry/log.ts'
import { openCredentials, sealCredentials } from './credentials.ts'

/** Refreshed so long before its end that a day's trouble on either side does no harm. */
const BEFORE_END_S = 7200
/** How long one process has a refresh to itself: longer than its call can take. */
const LEASE_S = 30
const LOOK_EVERY_MS = 200
/** Of one look at all that is due: an app that hangs does not hold up what comes after it. */
const DUE_MS = 20_000
/** What the app gave is all there is: it is kept, though what seals or the database be away for some seconds. */
const KEEP_TRIES = 5
const KEEP_AGAIN_MS = 1000

/** What the app gave for a refresh token, or why not. */
export type Refreshed =
  | { readonly ok: true; readonly credentials: Credentials; readonly expiresInS: number | null }
  /** `isFinal`: only installing it again helps. */
  | { readonly ok: false; readonly isFinal: boolean; readonly reason: string }

/** Asks the app for another access token. null: the integration has none that ends. */
export type RefreshToken = (
  providerKey: string,
  credentials: Credentials,
  call: CallApp,
) => Promise<Refreshed | null>

/**
 * One process has the refresh, by the row: a second one finds it taken, and waits for what the first one writes. A refresh token
 * serves once, so two that used it would end each other's access.
 */
const TAKE = `
update patchbay.org_integrations as i
set refreshing_until = now() + interval '${LEASE_S} seconds'
where i.id = $1 and i.deleted_at is null and i.is_enabled
  and case when $3::integer is null then i.token_expires_at < now() + make_interval(secs => $2) else i.revision = $3 end
  and (i.refreshing_until is null or i.refreshing_until < now())
returning i.org_id as "orgId", i.provider_key as "providerKey", i.credentials, i.revision, i.refreshing_until::text as "until"`

const LOOK = `
select i.refreshing_until > now() as "isUnderWay"
from patchbay.org_integrations as i
where i.id = $1 and i.deleted_at is null`

const WRITE = `
update patchbay.org_integrations as i
set credentials = $3, credential_fields = $4, token_expires_at = now() + make_interval(secs => $5), refreshing_until = null,
  revision = i.revision + 1, updated_at = now()
where i.id = $1 and i.refreshing_until = $2::timestamptz`

/** An app calls a token expired that was pasted without what renews it, or whose installation has lost its own app. */
const NOTHING_RENEWS =
  'The access token has run out, and nothing here renews it: install the app again, or paste another token.'

const END = 'select patchbay.disconnect($1, $2, $3, $4)'

const DUE = `
select i.id
from patchbay.org_integrations as i
where i.token_expires_at < now() + make_interval(secs => $1) and i.is_enabled and i.deleted_at is null
order by i.token_expires_at
limit 500`

interface RefreshDeps {
  /** Sees every org: nobody is asking. */
  readonly db: Queryable
  readonly keyring: Pick<Keyring, 'open' | 'seal'>
  readonly refreshToken: RefreshToken
  readonly callApp: (orgId: string, network: Provider['network']) => Promise<CallApp>
  readonly log: Log
}

/** Access tokens that end, refreshed in time, each by one process at a time and with no transaction open. */
export function makeRefresh({ db, keyring, refreshToken, callApp, log }: RefreshDeps) {
  interface Taken extends Record<string, unknown> {
    readonly orgId: string
    readonly providerKey: string
    readonly credentials: Buffer | null
    readonly revision: number
    readonly until: string
  }

  async function use(id: string, taken: Taken, isRefused: boolean): Promise<void> {
    const { orgId, providerKey, credentials, revision } = taken
    const fields = { org_id: orgId, integration_id: id }
    const opened = await openCredentials(keyring, orgId, id, credentials)
    const end = (reason: string) => db.query({ text: END, values: [orgId, id, reason, revision] })
    const refreshed = await refreshToken(providerKey, opened, await callApp(orgId, 'public'))
    if (refreshed === null) {
      // Where the app has not refused the token yet, it may still serve.
      if (isRefused) await end(NOTHING_RENEWS)
      return
    }
    if (!refreshed.ok) {
      log.warn({ ...fields, reason: refreshed.reason }, 'token.not_refreshed')
      // Otherwise the lease runs out, and the next look tries again.
      if (refreshed.isFinal) await end(refreshed.reason)
      return
    }
    if (await keep(id, taken, refreshed)) return log.info(fields, 'token.refreshed')
    // Somebody gave it other credentials meanwhile, or removed it.
    log.warn(fields, 'token.not_wanted')
  }

  /** Says whether it was still wanted. */
  async function keep(
    id: string,
    { orgId, until }: Taken,
    { credentials, expiresInS }: Extract<Refreshed, { ok: true }>,
  ): Promise<boolean> {
    for (let tries = 1; ; tries += 1) {
      try {
        const sealed = await sealCredentials(keyring, orgId, id, credentials)
        const { rowCount } = await db.query({
          text: WRITE,
          values: [id, until, sealed.credentials, sealed.credentialFields, expiresInS],
        })
        return rowCount === 1
      } catch (error) {
        const fields = { err: error, org_id: orgId, integration_id: id, tries }
        if (tries === KEEP_TRIES) {
          // Both tokens are lost with it, so somebody has to know.
          log.error(fields, 'token.lost')
          throw error
        }
        log.warn(fields, 'token.not_kept')
        await sleep(KEEP_AGAIN_MS)
      }
    }
  }

  /** Says whether this process had it to do. */
  async function refreshIfFree(id: string, refusedRevision: number | null): Promise<boolean> {
    const { rows } = await db.query<Taken>({
      text: TAKE,
      values: [id, BEFORE_END_S, refusedRevision],
    })
    const [taken] = rows
    if (taken !== undefined) await use(id, taken, refusedRevision !== null)
    return taken !== undefined
  }

  /**
   * Where its end is near; or, at once, where the app refused the token that the integration had at this revision.
   * Resolves when a token is there, whoever got it, or could not be had.
   */
  async function refresh(id: string, refusedRevision: number | null = null): Promise<void> {
    if (await refreshIfFree(id, refusedRevision)) return
    for (let waitedMs = 0; waitedMs < LEASE_S * 1000; waitedMs += LOOK_EVERY_MS) {
      const looked = await db.query<{ isUnderWay: boolean | null }>({ text: LOOK, values: [id] })
      if (looked.rows[0]?.isUnderWay !== true) return
      await sleep(LOOK_EVERY_MS)
    }
  }

  return {
    refresh,
    /** All that are due, but those that another process has. */
    async refreshDue(): Promise<void> {
      const { rows } = await db.query<{ id: string }>({ text: DUE, values: [BEFORE_END_S] })
      const until = performance.now() + DUE_MS
      for (const { id } of rows) {
        // The rest is due with the next look.
        if (performance.now() > until) break
        await refreshIfFree(id, null).catch((error: unknown) => {
          log.warn({ err: error, integration_id: id }, 'token.not_refreshed')
        })
      }
    },
  }
}
