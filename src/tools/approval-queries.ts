import type { Queryable } from '../db/pool.ts'

export const APPROVAL_STATES = ['pending', 'approved', 'denied', 'expired'] as const
export type ApprovalState = (typeof APPROVAL_STATES)[number]

/** For whom one process has what is left to do of an approval to itself; longer than a call and a turn may take. */
const LEASE_S = 300

/** How long a caller may come back for what became of a call: as long as an idempotency key is good. */
const COLLECTED_WITHIN_H = 24

export interface ApprovalRow extends Record<string, unknown> {
  readonly id: string
  readonly tool: string
  readonly toolId: string
  readonly integrationId: string
  readonly userId: string
  readonly source: string
  readonly conversationId: string | null
  readonly arguments: unknown
  readonly callHash: string
  readonly state: ApprovalState
  readonly decidedBy: string | null
  readonly decidedAt: Date | null
  readonly expiresAt: Date
  readonly runId: string | null
  /** Of its run, where that exists. */
  readonly outcome: string | null
  readonly createdAt: Date
}

const PLAIN_COLUMNS = `
  a.id, a.tool, a.tool_id as "toolId", a.integration_id as "integrationId", a.user_id as "userId", a.source,
  a.conversation_id as "conversationId", a.call_hash as "callHash", a.state, a.decided_by as "decidedBy",
  a.decided_at as "decidedAt", a.expires_at as "expiresAt", a.run_id as "runId", a.created_at as "createdAt"`
const COLUMNS = `${PLAIN_COLUMNS}, a.arguments`
/** A page of long ones would be too much. */
const SHORT_ARGUMENTS = `
  case when octet_length(a.arguments::text) <= 16384 then a.arguments
    else json_build_object('cut', left(a.arguments::text, 2048) || '… [cut: ' || octet_length(a.arguments::text) || ' bytes in all]')
  end as arguments`

const OUTCOME = `(select r.outcome from patchbay.tool_runs as r where r.org_id = a.org_id and r.id = a.run_id) as outcome`

export interface NewApproval {
  readonly id: string
  readonly orgId: string
  readonly tool: string
  readonly toolId: string
  readonly integrationId: string
  readonly userId: string
  readonly source: string
  readonly conversationId: string | null
  readonly arguments: unknown
  readonly call: Buffer
  readonly callHash: string
  readonly expiresInS: number
}

const TELL_EXPIRED = `
select e.id,
  patchbay.emit_event(e.org_id, 'tool.approval.decided', json_build_object(
    'approvalId', e.id, 'tool', e.tool, 'userId', e.user_id, 'source', e.source,
    'state', 'expired', 'decidedBy', null, 'runId', null), e.conversation_id)
from expired as e`

/** One that waited for too long does not stand in the way of another. */
const EXPIRE_SAME = `
with expired as (
  update patchbay.tool_approvals as a
  set state = 'expired', decided_at = now(), call = null
  where a.org_id = $1 and a.tool_id = $2 and a.user_id = $3 and coalesce(a.conversation_id, '') = coalesce($4, '')
    and a.call_hash = $5 and a.state = 'pending' and a.expires_at <= now()
  returning a.id, a.org_id, a.tool, a.user_id, a.source, a.conversation_id
)
${TELL_EXPIRED}`

const ADD = `
insert into patchbay.tool_approvals as a
  (id, org_id, tool, tool_id, integration_id, user_id, source, conversation_id, arguments, call, call_hash, expires_at)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, now() + make_interval(secs => $12))
on conflict (org_id, tool_id, user_id, coalesce(conversation_id, ''), call_hash) where state = 'pending' do nothing
returning a.expires_at as "expiresAt"`

const PENDING = `
select a.id, a.arguments, a.expires_at as "expiresAt"
from patchbay.tool_approvals as a
where a.org_id = $1 and a.tool_id = $2 and a.user_id = $3 and coalesce(a.conversation_id, '') = coalesce($4, '')
  and a.call_hash = $5 and a.state = 'pending'`

/** In the caller's transaction. @returns when it expires; null: the same call waits already */
export async function addApproval(tx: Queryable, approval: NewApproval): Promise<Date | null> {
  const { id, orgId, tool, toolId, integrationId, userId, source, conversationId } = approval
  const same = [orgId, toolId, userId, conversationId, approval.callHash]
  await tx.query({ text: EXPIRE_SAME, values: same })
  const { rows } = await tx.query<{ expiresAt: Date }>({
    text: ADD,
    values: [
      id,
      orgId,
      tool,
      toolId,
      integrationId,
      userId,
      source,
      conversationId,
      JSON.stringify(approval.arguments),
      approval.call,
      approval.callHash,
      approval.expiresInS,
    ],
  })
  return rows[0]?.expiresAt ?? null
}

const COUNT = `
select count(*)::int as count
from (select from patchbay.tool_approvals as a where a.org_id = $1 and a.state = 'pending' limit $2) as waiting`

/** Those that wait, as far as it counts. */
export async function countPending(tx: Queryable, orgId: string, upTo: number): Promise<number> {
  const { rows } = await tx.query<{ count: number }>({ text: COUNT, values: [orgId, upTo] })
  return rows[0]?.count ?? 0
}

export interface PendingRow extends Record<string, unknown> {
  readonly id: string
  readonly arguments: unknown
  readonly expiresAt: Date
}

export async function findPending(
  tx: Queryable,
  { orgId, toolId, userId, conversationId, callHash }: NewApproval,
): Promise<PendingRow | null> {
  const values = [orgId, toolId, userId, conversationId, callHash]
  const { rows } = await tx.query<PendingRow>({ text: PENDING, values })
  return rows[0] ?? null
}

/**
 * The newest decided one of the same call, nobody having come for it. Not one that a turn waited for, and not for good: the same
 * call next month is another.
 */
const DECIDED = `
select ${COLUMNS}, ${OUTCOME}
from patchbay.tool_approvals as a
where a.org_id = $1 and a.call_hash = $5 and a.tool_id = $2 and a.user_id = $3
  and coalesce(a.conversation_id, '') = coalesce($4, '') and a.state in ('approved', 'denied') and a.collected_at is null
  and a.source in ('api', 'mcp') and a.decided_at > now() - interval '${COLLECTED_WITHIN_H} hours'
order by a.id desc
limit 1
for update of a`

export async function findDecided(
  tx: Queryable,
  { orgId, toolId, userId, conversationId, callHash }: NewApproval,
): Promise<ApprovalRow | null> {
  const values = [orgId, toolId, userId, conversationId, callHash]
  const { rows } = await tx.query<ApprovalRow>({ text: DECIDED, values })
  return rows[0] ?? null
}

const COLLECT = `update patchbay.tool_approvals set collected_at = now() where org_id = $1 and id = $2`

export async function markCollected(tx: Queryable, orgId: string, id: string): Promise<void> {
  await tx.query({ text: COLLECT, values: [orgId, id] })
}

const LIST = `
select ${PLAIN_COLUMNS}, ${SHORT_ARGUMENTS}, ${OUTCOME}
from patchbay.tool_approvals as a
where a.org_id = $1 and ($2::uuid is null or a.id < $2) and ($3::text is null or a.state = $3)
order by a.id desc
limit $4`

/** Newest first. */
export async function listApprovals(
  tx: Queryable,
  orgId: string,
  after: string | null,
  state: ApprovalState | null,
  limit: number,
): Promise<ApprovalRow[]> {
  const { rows } = await tx.query<ApprovalRow>({ text: LIST, values: [orgId, after, state, limit] })
  return rows
}

const FIND = `
select ${COLUMNS}, ${OUTCOME}
from patchbay.tool_approvals as a
where a.org_id = $1 and a.id = $2`

export async function findApproval(
  tx: Queryable,
  orgId: string,
  id: string,
): Promise<ApprovalRow | null> {
  const { rows } = await tx.query<ApprovalRow>({ text: FIND, values: [orgId, id] })
  return rows[0] ?? null
}

const DECIDE = `
update patchbay.tool_approvals as a
set state = $3, decided_by = $4, decided_at = now(), run_id = case when $3 = 'approved' then $5::uuid end,
  call = case when $3 = 'approved' then a.call end,
  lease_token = $6, lease_until = case when $6::uuid is null then now() else now() + interval '${LEASE_S} seconds' end
where a.org_id = $1 and a.id = $2 and a.state = 'pending' and a.expires_at > now()
returning ${COLUMNS}, null as outcome`

/**
 * @param leaseToken of who does at once what is left to do; null: whoever comes
 * @returns null where it was not pending any more
 */
export async function decideApproval(
  tx: Queryable,
  orgId: string,
  id: string,
  decision: {
    readonly state: 'approved' | 'denied'
    readonly by: string
    readonly runId: string
    readonly leaseToken: string | null
  },
): Promise<ApprovalRow | null> {
  const { state, by, runId, leaseToken } = decision
  const values = [orgId, id, state, by, runId, leaseToken]
  const { rows } = await tx.query<ApprovalRow>({ text: DECIDE, values })
  return rows[0] ?? null
}

const ATTACH = `
with before as (
  select a.id, a.state = 'pending' and a.turn is null as "isAlone"
  from patchbay.tool_approvals as a
  where a.org_id = $1 and a.id = $2
  for update
)
update patchbay.tool_approvals as a
set turn = $3, is_done = false
from before as b
where a.org_id = $1 and a.id = b.id
returning ${COLUMNS}, null as outcome, b."isAlone"`

export interface AttachedRow extends ApprovalRow {
  /** It waits, and no turn waited for it so far. */
  readonly isAlone: boolean
}

/** The turn that goes on when it is decided; also where it was decided meanwhile. null: it is gone. */
export async function attachTurn(
  tx: Queryable,
  orgId: string,
  id: string,
  turn: Buffer,
): Promise<AttachedRow | null> {
  const { rows } = await tx.query<AttachedRow>({ text: ATTACH, values: [orgId, id, turn] })
  return rows[0] ?? null
}

const EXPIRE = `
with due as (
  select a.id
  from patchbay.tool_approvals as a
  where a.state = 'pending' and a.expires_at <= coalesce($1, now())
  order by a.expires_at
  limit 500
  for update skip locked
),
expired as (
  update patchbay.tool_approvals as a
  set state = 'expired', decided_at = now(), call = null
  from due
  where a.id = due.id
  returning a.id, a.org_id, a.tool, a.user_id, a.source, a.conversation_id
)
${TELL_EXPIRED}`

/** Ends those that nobody decided in time, and says so. @returns their ids */
export async function expireApprovals(db: Queryable, now: Date | null = null): Promise<string[]> {
  const { rows } = await db.query<{ id: string }>({ text: EXPIRE, values: [now] })
  return rows.map(({ id }) => id)
}

const OPEN = `
select a.id
from patchbay.tool_approvals as a
where a.state <> 'pending' and not a.is_done and a.lease_until < now() - interval '20 seconds'
order by a.lease_until
limit 500`

/** Decided ones of which something is left to do, and that nobody has come for. */
export async function listOpen(db: Queryable): Promise<string[]> {
  const { rows } = await db.query<{ id: string }>({ text: OPEN })
  return rows.map(({ id }) => id)
}

export interface HeldRow extends ApprovalRow {
  readonly orgId: string
  readonly call: Buffer | null
  readonly turn: Buffer | null
  readonly tries: number
  /** Since it was decided. */
  readonly ageS: number
}

const HELD_COLUMNS = `
  a.org_id as "orgId", a.call, a.turn, a.tries, extract(epoch from now() - a.decided_at)::int as "ageS"`

const TAKE = `
update patchbay.tool_approvals as a
set lease_token = $2, lease_until = now() + interval '${LEASE_S} seconds', tries = a.tries + 1
where a.id = $1 and a.state <> 'pending' and not a.is_done and a.lease_until <= now()
returning ${COLUMNS}, ${HELD_COLUMNS}, ${OUTCOME}`

const OURS = `
select ${COLUMNS}, ${HELD_COLUMNS}, ${OUTCOME}
from patchbay.tool_approvals as a
where a.id = $1 and a.lease_token = $2 and not a.is_done`

export async function takeApproval(
  db: Queryable,
  id: string,
  leaseToken: string,
): Promise<HeldRow | null> {
  const { rows } = await db.query<HeldRow>({ text: TAKE, values: [id, leaseToken] })
  return rows[0] ?? null
}

/** One that was taken with its decision. */
export async function findTaken(
  db: Queryable,
  id: string,
  leaseToken: string,
): Promise<HeldRow | null> {
  const { rows } = await db.query<HeldRow>({ text: OURS, values: [id, leaseToken] })
  return rows[0] ?? null
}

const DONE = `
update patchbay.tool_approvals as a
set is_done = true, call = null, turn = null, lease_token = null, lease_until = now()
where a.org_id = $1 and a.id = $2 and a.lease_token = $3 and (a.turn is not null) = $4`

/**
 * Nothing is left to do of it, where it still is this process's. It is nobody's then, so that a turn that is attached later goes
 * on at once.
 *
 * @param withTurn whether its turn has gone on; one that was attached meanwhile has not
 */
export async function markDone(
  tx: Queryable,
  { orgId, id }: Pick<HeldRow, 'orgId' | 'id'>,
  leaseToken: string,
  withTurn: boolean,
): Promise<boolean> {
  const { rowCount } = await tx.query({ text: DONE, values: [orgId, id, leaseToken, withTurn] })
  return rowCount === 1
}

const AGAIN = `
update patchbay.tool_approvals as a
set lease_token = null, lease_until = now() + make_interval(secs => $3), tries = a.tries - case when $4 then 0 else 1 end
where a.id = $1 and a.lease_token = $2`

/** @param isTry whether what was done counts as one of the tries that it has */
export async function postpone(
  db: Queryable,
  id: string,
  leaseToken: string,
  forS: number,
  isTry: boolean,
): Promise<void> {
  await db.query({ text: AGAIN, values: [id, leaseToken, forS, isTry] })
}
