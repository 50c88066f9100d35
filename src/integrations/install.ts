import { createHash, randomBytes } from 'node:crypto'
import { and, eq, isNull, sql } from 'drizzle-orm'
import type { Actor } from '../core/actor.ts'
import { AppError } from '../core/error.ts'
import type { Credentials } from '../core/provider.ts'
import type { Queryable } from '../db/pool.ts'
import { appInstalls, orgIntegrations, webhookSubscriptions } from '../db/schema.ts'
import type { InOrg } from '../db/tenants.ts'
import type { Keyring } from '../security/keyring.ts'
import type { WriteAudit } from './audit.ts'
import { sealCredentials } from './credentials.ts'
import { lockLanes } from './queries.ts'

/** As long as the app's own code lives. [Slack: ten minutes] */
export const INSTALL_S = 600

/** What an app gave when somebody agreed to the install. */
export interface InstalledApp {
  readonly providerKey: string
  /** What the app calls the place. */
  readonly externalId: string
  readonly externalName: string
  readonly credentials: Credentials
  readonly tokenExpiresInS: number | null
}

/** Who began an install. */
export interface BegunInstall {
  readonly orgId: string
  readonly userId: string
}

interface InstallDeps {
  readonly inOrg: InOrg
  /** Sees every org: what the app sends back names none. */
  readonly db: Queryable
  readonly keyring: Keyring
  readonly newId: () => string
  readonly audit: WriteAudit
}

const newSecret = () => randomBytes(32).toString('base64url')
const digest = (text: string) => createHash('sha256').update(text).digest()

/** Used once, by the browser that began it, in time. */
const USE = `
with used as (
  delete from patchbay.app_installs as a where a.hash = $1 returning a.org_id, a.user_id, a.browser_hash, a.expires_at
)
select u.org_id as "orgId", u.user_id as "userId", u.browser_hash = $2 as "isSameBrowser", u.expires_at > now() as "isInTime"
from used as u`

const LOOK = `
select a.org_id as "orgId", a.user_id as "userId"
from patchbay.app_installs as a
where a.hash = $1 and a.expires_at > now()`

/** Apart from those of the way back, so that a link can never be taken for one. */
const linkOf = (ticket: string) => `link ${ticket}`
const USED = 'This link was used already, or is not one of ours.'

const REMOVED = 'The integration was deleted at this moment. Begin the install again.'
const TAKEN =
  'This workspace is connected to another organization here already. Delete the integration there first, then begin the install again.'

/** Installs through an app's own consent page. */
export function makeInstalls({ inOrg, db, keyring, newId, audit }: InstallDeps) {
  async function write({ orgId, userId }: BegunInstall, state: string, browser: string) {
    await inOrg(orgId, (tx) =>
      tx.insert(appInstalls).values({
        hash: digest(state),
        orgId,
        userId,
        browserHash: digest(browser),
        expiresAt: sql`now() + make_interval(secs => ${INSTALL_S})`,
      }),
    )
  }

  /** @throws AppError `FORBIDDEN` for a state that is unknown, used, past its time, or another browser's */
  async function use(state: string, browser: string): Promise<BegunInstall> {
    type Row = BegunInstall & { isSameBrowser: boolean; isInTime: boolean }
    const { rows } = await db.query<Row & Record<string, unknown>>({
      text: USE,
      values: [digest(state), digest(browser)],
    })
    const [row] = rows
    if (row === undefined) throw refused(USED)
    if (!row.isInTime) throw refused('The install took longer than ten minutes.')
    if (!row.isSameBrowser) throw refused('The install was begun in another browser.')
    return { orgId: row.orgId, userId: row.userId }
  }

  return {
    use,

    /** @returns what goes to the app and comes back, and what stays with the browser; both are kept as digests alone */
    async begin(orgId: string, userId: string): Promise<{ state: string; browser: string }> {
      const state = newSecret()
      const browser = newSecret()
      await write({ orgId, userId }, state, browser)
      return { state, browser }
    },

    /** A link that begins the install in whichever browser opens it: for who has no page that could. Used once. */
    async makeLink(orgId: string, userId: string): Promise<string> {
      const ticket = newSecret()
      await write({ orgId, userId }, linkOf(ticket), '')
      return ticket
    },

    /** @throws AppError `FORBIDDEN` for one that is unknown, used or past its time */
    async lookAtLink(ticket: string): Promise<BegunInstall> {
      const { rows } = await db.query<BegunInstall & Record<string, unknown>>({
        text: LOOK,
        values: [digest(linkOf(ticket))],
      })
      if (rows[0] === undefined) throw refused(USED)
      return rows[0]
    },

    /** As `use`. */
    useLink: (ticket: string): Promise<BegunInstall> => use(linkOf(ticket), ''),

    /**
     * Keeps what the app gave. In a place where the org has it already, it connects again: subscriptions and history stay.
     *
     * @returns the integration's id
     * @throws AppError `CONFLICT` where the place is another org's
     */
    async keep(orgId: string, app: InstalledApp, by: Actor): Promise<string> {
      const known = await findOwn(orgId, app)
      const id = known ?? newId()
      const sealed = await sealCredentials(keyring, orgId, id, app.credentials)
      const columns = {
        ...sealed,
        externalId: app.externalId,
        externalName: app.externalName,
        isEnabled: true,
        disconnectedReason: null,
        refreshingUntil: null,
        tokenExpiresAt:
          app.tokenExpiresInS === null
            ? null
            : sql`now() + make_interval(secs => ${app.tokenExpiresInS})`,
      }
      await inOrg(orgId, async (tx) => {
        if (known === null) {
          await tx.insert(orgIntegrations).values({
            ...columns,
            id,
            orgId,
            providerKey: app.providerKey,
            name: app.externalName.slice(0, 128),
          })
        } else {
          const lanes = await tx
            .select({ id: webhookSubscriptions.id })
            .from(webhookSubscriptions)
            .where(
              and(
                eq(webhookSubscriptions.orgId, orgId),
                eq(webhookSubscriptions.integrationId, id),
              ),
            )
          await lockLanes(
            tx,
            lanes.map((lane) => lane.id),
          )
          const kept = await tx
            .update(orgIntegrations)
            .set({
              ...columns,
              revision: sql`${orgIntegrations.revision} + 1`,
              updatedAt: sql`now()`,
            })
            .where(
              and(
                eq(orgIntegrations.orgId, orgId),
                eq(orgIntegrations.id, id),
                isNull(orgIntegrations.deletedAt),
              ),
            )
            .returning({ id: orgIntegrations.id })
          if (kept.length === 0) throw new AppError('CONFLICT', REMOVED)
        }
        const detail = { providerKey: app.providerKey, externalName: app.externalName }
        const action = known === null ? 'integration.installed' : 'integration.reinstalled'
        await audit({ orgId, by, action, target: id, detail }, tx)
      }).catch((error: unknown) => {
        throw isUniqueViolation(error) ? new AppError('CONFLICT', TAKEN) : error
      })
      return id
    },
  }

  async function findOwn(orgId: string, app: InstalledApp): Promise<string | null> {
    const { orgId: ofOrg, providerKey, externalId, deletedAt, id } = orgIntegrations
    const [row] = await inOrg(orgId, (tx) =>
      tx
        .select({ id })
        .from(orgIntegrations)
        .where(
          and(
            eq(ofOrg, orgId),
            eq(providerKey, app.providerKey),
            eq(externalId, app.externalId),
            isNull(deletedAt),
          ),
        ),
    )
    return row?.id ?? null
  }
}

function refused(reason: string): AppError {
  return new AppError('FORBIDDEN', `${reason} Begin the install again.`)
}

function isUniqueViolation(error: unknown): boolean {
  const cause = error instanceof Error ? error.cause : undefined
  return cause instanceof Error && 'code' in cause && cause.code === '23505'
}
