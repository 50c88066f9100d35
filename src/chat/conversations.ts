import { and, desc, eq, ilike, lt } from 'drizzle-orm'
import { type Page, toPage } from '../core/cursor.ts'
import { invalidField, notFound } from '../core/error.ts'
import { isUuid } from '../core/id.ts'
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
  readonly createdAt: string
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
    createdAt: row.createdAt.toISOString(),
  }
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
