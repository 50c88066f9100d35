import type { Queryable } from '../db/pool.ts'
import type { Keyring } from '../security/keyring.ts'
import { type Question, questionSchema } from './question.ts'

/** Tries of one question. */
export const MAX_TRIES = 5
/** Longer than a turn may take; who is frozen past it finds that the question is another's. */
const LEASE_S = 180

export interface InboxEntry {
  readonly id: string
  readonly orgId: string
  readonly integrationId: string
  readonly providerKey: string
  readonly isEnabled: boolean
  readonly tries: number
  readonly leaseToken: string
  readonly question: Question
  /** Of the turn that is committed already; what is left is to bring it. */
  readonly answerId: string | null
  /** That was begun for it by an earlier try, or that it was answered in. */
  readonly conversationId: string | null
}

const PUT = `
insert into patchbay.inbound_events (id, org_id, integration_id, key, payload, state, message_id)
values ($1, $2, $3, $4, $5, case when $5::bytea is null then 'done' else 'waiting' end, $6)
on conflict (org_id, integration_id, key) do nothing
returning id`

const KNOWN = `
select e.id, e.state, e.message_id as "messageId", e.answer_id as "answerId"
from patchbay.inbound_events as e
where e.org_id = $1 and e.integration_id = $2 and e.key = $3`

const TAKE = `
update patchbay.inbound_events as e
set lease_token = $2, due_at = now() + interval '${LEASE_S} seconds', tries = e.tries + 1
from patchbay.org_integrations as i
where e.id = $1 and e.state = 'waiting' and e.due_at <= now() and i.org_id = e.org_id and i.id = e.integration_id
returning e.id, e.org_id as "orgId", e.integration_id as "integrationId", i.provider_key as "providerKey",
  i.is_enabled and i.deleted_at is null as "isEnabled", e.tries, e.lease_token as "leaseToken", e.payload, e.answer_id as "answerId",
  e.conversation_id as "conversationId"`

const GIVE_BACK = `
update patchbay.inbound_events as e
set lease_token = null, tries = e.tries - 1, due_at = now() + interval '5 seconds'
where e.id = $1 and e.lease_token = $2 and e.state = 'waiting'`

const BEGUN = `
update patchbay.inbound_events as e
set conversation_id = $3
where e.org_id = $4 and e.id = $1 and e.lease_token = $2 and e.state = 'waiting'`

const ANSWERED = `
update patchbay.inbound_events as e
set conversation_id = $3, message_id = $4, answer_id = $5, last_error = null,
  state = case when $6 then 'done' else e.state end, payload = case when $6 then null else e.payload end
where e.org_id = $7 and e.id = $1 and e.lease_token = $2 and e.state = 'waiting'
returning e.id`

const END = `
update patchbay.inbound_events as e
set state = $3, last_error = $4, payload = null, lease_token = null
where e.id = $1 and e.lease_token = $2 and e.state = 'waiting'`

const AGAIN = `
update patchbay.inbound_events as e
set lease_token = null, last_error = $3, due_at = now() + make_interval(secs => $4)
where e.id = $1 and e.lease_token = $2 and e.state = 'waiting'`

const OVERDUE = `
select e.id
from patchbay.inbound_events as e
where e.state = 'waiting' and e.due_at < now() - interval '20 seconds'
order by e.due_at
limit 500`

export interface Arrival {
  readonly id: string
  readonly orgId: string
  readonly integrationId: string
  readonly key: string
  /** Sealed; null: there is nothing left to do. */
  readonly payload: Buffer | null
  readonly messageId: string | null
}

/** What became of a key that was seen before. */
export interface KnownArrival {
  readonly id: string
  readonly state: 'waiting' | 'done' | 'failed'
  readonly messageId: string | null
  readonly answerId: string | null
}

const sealContext = (orgId: string, rowId: string) => ({
  orgId,
  table: 'inbound_events',
  column: 'payload',
  rowId,
})

export function sealQuestion(
  keyring: Pick<Keyring, 'seal'>,
  orgId: string,
  id: string,
  question: Question,
): Promise<Buffer> {
  return keyring.seal(sealContext(orgId, id), JSON.stringify(question))
}

/** In the caller's transaction. Says whether the key is new; waits for another transaction that has it. */
export async function putArrival(tx: Queryable, arrival: Arrival): Promise<boolean> {
  const { id, orgId, integrationId, key, payload, messageId } = arrival
  const { rowCount } = await tx.query({
    text: PUT,
    values: [id, orgId, integrationId, key, payload, messageId],
  })
  return rowCount === 1
}

export async function findArrival(
  tx: Queryable,
  { orgId, integrationId, key }: Pick<Arrival, 'orgId' | 'integrationId' | 'key'>,
): Promise<KnownArrival | null> {
  const { rows } = await tx.query<KnownArrival & Record<string, unknown>>({
    text: KNOWN,
    values: [orgId, integrationId, key],
  })
  return rows[0] ?? null
}

/**
 * Writes down that the turn is committed, in its transaction: only who still has the question may.
 *
 * @param isBrought whether nothing is left to do
 */
export async function markAnswered(
  tx: Queryable,
  { id, orgId, leaseToken }: InboxEntry,
  answered: {
    readonly conversationId: string
    readonly messageId: string
    readonly answerId: string
    readonly isBrought: boolean
  },
): Promise<boolean> {
  const { conversationId, messageId, answerId, isBrought } = answered
  const { rowCount } = await tx.query({
    text: ANSWERED,
    values: [id, leaseToken, conversationId, messageId, answerId, isBrought, orgId],
  })
  return rowCount === 1
}

/** Writes down which conversation was begun for a question, in the transaction that begins it: another try goes on in it. */
export async function markBegun(
  tx: Queryable,
  { id, orgId, leaseToken }: InboxEntry,
  conversationId: string,
): Promise<void> {
  await tx.query({ text: BEGUN, values: [id, leaseToken, conversationId, orgId] })
}

interface InboxDeps {
  /** Sees every org: a job names a question, and nobody is asking. */
  readonly db: Queryable
  readonly keyring: Pick<Keyring, 'open'>
  readonly newToken: () => string
}

/** Questions as those who answer them see them. */
export function makeInbox({ db, keyring, newToken }: InboxDeps) {
  async function giveBack({ id, leaseToken }: Pick<InboxEntry, 'id' | 'leaseToken'>) {
    await db.query({ text: GIVE_BACK, values: [id, leaseToken] })
  }

  return {
    /** What was our trouble costs the question no try. */
    giveBack,

    /** Takes a question for a while; null: it is answered, another's, or not due. */
    async take(id: string): Promise<InboxEntry | null> {
      type Row = Omit<InboxEntry, 'question'> & { payload: Buffer } & Record<string, unknown>
      const { rows } = await db.query<Row>({ text: TAKE, values: [id, newToken()] })
      const [row] = rows
      if (row === undefined) return null
      const text = await keyring
        .open(sealContext(row.orgId, id), row.payload)
        .catch(async (error: unknown) => {
          await giveBack(row)
          throw error
        })
      return { ...row, question: questionSchema.parse(JSON.parse(text)) }
    },

    /** Says whether it was still to be ended by who asks. */
    async end(
      { id, leaseToken }: InboxEntry,
      state: 'done' | 'failed',
      error: string | null,
    ): Promise<boolean> {
      const { rowCount } = await db.query({ text: END, values: [id, leaseToken, state, error] })
      return rowCount === 1
    },

    async again({ id, leaseToken }: InboxEntry, error: string, afterS: number): Promise<void> {
      await db.query({ text: AGAIN, values: [id, leaseToken, error, afterS] })
    },

    /** Those that no job has come for: who was to send one is gone. */
    async overdue(): Promise<string[]> {
      const { rows } = await db.query<{ id: string }>({ text: OVERDUE })
      return rows.map(({ id }) => id)
    },
  }
}
