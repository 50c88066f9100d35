import type { Queryable } from '../db/pool.ts'

/** A conversation in a channel of an app. */
export interface ThreadPlace {
  readonly orgId: string
  readonly integrationId: string
  readonly channel: string
  readonly conversationId: string
}

const FIND = `
select t.thread
from patchbay.app_threads as t
where t.org_id = $1 and t.integration_id = $2 and t.channel = $3 and t.conversation_id = $4`

const REMEMBER = `
insert into patchbay.app_threads (org_id, integration_id, channel, conversation_id, thread)
values ($1, $2, $3, $4, $5)
on conflict do nothing`

const CONVERSATION = `
select t.conversation_id
from patchbay.app_threads as t
where t.org_id = $1 and t.integration_id = $2 and t.channel = $3 and t.thread = $4`

const FORGET = `
delete from patchbay.app_threads as t
where t.org_id = $1 and t.integration_id = $2 and t.channel = $3 and t.conversation_id = $4`

const placeValues = (place: ThreadPlace) => [
  place.orgId,
  place.integrationId,
  place.channel,
  place.conversationId,
]

/** Which thread of a channel a conversation is. */
export function makeThreads(db: Queryable) {
  return {
    async find(place: ThreadPlace): Promise<string | null> {
      const { rows } = await db.query<{ thread: string }>({
        text: FIND,
        values: placeValues(place),
      })
      return rows[0]?.thread ?? null
    },

    /** Where it has one by now, that one stays. */
    async remember(place: ThreadPlace, thread: string): Promise<void> {
      await db.query({ text: REMEMBER, values: [...placeValues(place), thread] })
    },

    /** Which conversation a thread is; null: none yet. */
    async conversationOf(
      { orgId, integrationId, channel }: Omit<ThreadPlace, 'conversationId'>,
      thread: string,
    ): Promise<string | null> {
      const { rows } = await db.query<{ conversation_id: string }>({
        text: CONVERSATION,
        values: [orgId, integrationId, channel, thread],
      })
      return rows[0]?.conversation_id ?? null
    },

    async forget(place: ThreadPlace): Promise<void> {
      await db.query({ text: FORGET, values: placeValues(place) })
    },
  }
}
