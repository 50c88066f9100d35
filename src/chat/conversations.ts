import { and, desc, eq, ilike, lt } from 'drizzle-orm'
import { type Page, toPage } from '../core/cursor.ts'
import { invalidField, notFound } from '../core/error.ts'
import { isUuid } from '../core/id.ts'
import type { DbTx } from '../db/pool.ts'
import { conversations, messages } from '../db/schema.ts'
import type { InOrg } from '../db/tenants.ts'

export interface Conversation {
  readonly id: string
  readonly orgId: string
  readonly title: string | null
  readonly createdBy: string
  readonly createdAt: string
}

export interface Message {
  readonly id: string
  readonly conversationId: string
  readonly role: 'user' | 'assistant'
  readonly content: string
  readonly model: string | null
  /** Who wrote it, where that was in an app and not here. */
  readonly externalUser: { readonly id: string; readonly name: string | null } | null
  readonly createdAt: string
}

/** What somebody wrote in an app. */
export interface ExternalMessage {
  readonly id: string
  readonly orgId: string
  readonly conversationId: string
  readonly content: string
  /** As runs and events name who it was. */
  readonly userId: string
  readonly integrationId: string
  readonly externalUser: { readonly id: string; readonly name: string | null }
}

/** The reference host's conversations, scoped to an org. */
export function makeConversations({ inOrg }: { readonly inOrg: InOrg }) {
  const ofOrg = (orgId: string, id: string) =>
    and(eq(conversations.orgId, orgId), eq(conversations.id, id))

  async function assertExists(orgId: string, id: string): Promise<void> {
    const rows = await inOrg(orgId, (tx) =>
      tx.select({ id: conversations.id }).from(conversations).where(ofOrg(orgId, id)),
    )
    if (rows.length === 0) throw notFound('conversation')
  }

  return {
    assertExists,

    /** In the caller's transaction. */
    async begin(tx: DbTx, orgId: string, userId: string, title: string | null): Promise<string> {
      const [row] = await tx
        .insert(conversations)
        .values({ orgId, title, createdBy: userId })
        .returning({ id: conversations.id })
      if (row === undefined) throw new Error('insert returned no row')
      return row.id
    },

    /** In the caller's transaction. Throws `NOT_FOUND` where the org has no such conversation. */
    async add(tx: DbTx, message: ExternalMessage): Promise<void> {
      if (!isUuid(message.conversationId)) throw notFound('conversation')
      await tx
        .insert(messages)
        .values({ ...message, role: 'user' })
        .catch((error: unknown) => {
          throw isForeignKeyViolation(error) ? notFound('conversation') : error
        })
    },

    /** A message of the org; null where it has none such. */
    async message(orgId: string, id: string): Promise<Message | null> {
      const [row] = await inOrg(orgId, (tx) =>
        tx
          .select()
          .from(messages)
          .where(and(eq(messages.orgId, orgId), eq(messages.id, id))),
      )
      return row === undefined ? null : toMessage(row)
    },

    async create(orgId: string, userId: string, title: string | null): Promise<Conversation> {
      if (title?.includes('\0') === true) {
        throw invalidField('title', 'must not have the character U+0000')
      }
      const [row] = await inOrg(orgId, (tx) =>
        tx.insert(conversations).values({ orgId, title, createdBy: userId }).returning(),
      )
      if (row === undefined) throw new Error('insert returned no row')
      return toConversation(row)
    },

    /** Newest first. */
    async list(orgId: string, page: Page) {
      const rows = await inOrg(orgId, (tx) =>
        tx
          .select()
          .from(conversations)
          .where(
            and(
              eq(conversations.orgId, orgId),
              page.after === null ? undefined : lt(conversations.id, page.after),
            ),
          )
          .orderBy(desc(conversations.id))
          .limit(page.limit + 1),
      )
      const { rows: shown, nextCursor } = toPage(rows, page.limit, (row) => row.id)
      return { conversations: shown.map(toConversation), nextCursor }
    },

    /** Newest first. */
    async messages(orgId: string, conversationId: string, page: Page) {
      await assertExists(orgId, conversationId)
      const rows = await inOrg(orgId, (tx) =>
        tx
          .select()
          .from(messages)
          .where(
            and(
              eq(messages.orgId, orgId),
              eq(messages.conversationId, conversationId),
              page.after === null ? undefined : lt(messages.id, page.after),
            ),
          )
          .orderBy(desc(messages.id))
          .limit(page.limit + 1),
      )
      const { rows: shown, nextCursor } = toPage(rows, page.limit, (row) => row.id)
      return { messages: shown.map(toMessage), nextCursor }
    },

    /** The last messages, newest first. Throws `NOT_FOUND` where the org has no such conversation. */
    async latest(orgId: string, conversationId: string, limit: number): Promise<Message[]> {
      await assertExists(orgId, conversationId)
      const rows = await inOrg(orgId, (tx) =>
        tx
          .select()
          .from(messages)
          .where(and(eq(messages.orgId, orgId), eq(messages.conversationId, conversationId)))
          .orderBy(desc(messages.id))
          .limit(limit),
      )
      return rows.map(toMessage)
    },

    /** Messages that contain a text, newest first; of all conversations of the org where none is given. */
    async search(orgId: string, conversationId: string | null, text: string, limit: number) {
      // A host's own conversation has messages that are not here; no text here has U+0000.
      if ((conversationId !== null && !isUuid(conversationId)) || text.includes('\0')) return []
      const literal = text.replace(/[\\%_]/g, (wildcard) => `\\${wildcard}`)
      const rows = await inOrg(orgId, (tx) =>
        tx
          .select()
          .from(messages)
          .where(
            and(
              eq(messages.orgId, orgId),
              conversationId === null ? undefined : eq(messages.conversationId, conversationId),
              ilike(messages.content, `%${literal}%`),
            ),
          )
          .orderBy(desc(messages.id))
          .limit(limit),
      )
      return rows.map(toMessage)
    },
  }
}

export function toMessage(row: typeof messages.$inferSelect): Message {
  return {
    id: row.id,
    conversationId: row.conversationId,
    role: row.role,
    content: row.content,
    model: row.model,
    externalUser: row.externalUser,
    createdAt: row.createdAt.toISOString(),
  }
}

/** The conversation was deleted meanwhile, or never was. */
export function isForeignKeyViolation(error: unknown): boolean {
  const cause = error instanceof Error ? error.cause : undefined
  return cause instanceof Error && 'code' in cause && cause.code === '23503'
}

function toConversation(row: typeof conversations.$inferSelect): Conversation {
  return {
    id: row.id,
    orgId: row.orgId,
    title: row.title,
    createdBy: row.createdBy,
    createdAt: row.createdAt.toISOString(),
  }
}
