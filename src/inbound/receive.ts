import { cutText } from '../core/cut.ts'
import { AppError, notFound } from '../core/error.ts'
import type { InboundRequest, Provider, Said } from '../core/provider.ts'
import type { DbTx } from '../db/pool.ts'
import type { InOrg } from '../db/tenants.ts'
import type { Keyring } from '../security/keyring.ts'
import type { InboundIntegration } from './find-integration.ts'
import { findArrival, type KnownArrival, putArrival, sealQuestion } from './inbox.ts'
import type { Question } from './question.ts'

interface ReceiveDeps {
  readonly inOrg: InOrg
  readonly keyring: Keyring
  readonly newId: () => string
  readonly byId: (id: string) => Promise<InboundIntegration | null>
  readonly findProvider: (key: string) => Provider | null
  readonly openSecrets: (integration: InboundIntegration) => Promise<{
    readonly credentials: Readonly<Record<string, string>>
    readonly signingSecrets: readonly string[]
  }>
  /** In the caller's transaction. Throws `NOT_FOUND` where the org has no such conversation. */
  readonly addMessage: (
    tx: DbTx,
    message: {
      readonly id: string
      readonly orgId: string
      readonly conversationId: string
      readonly content: string
      readonly userId: string
      readonly integrationId: string
      readonly externalUser: { readonly id: string; readonly name: string | null }
    },
  ) => Promise<void>
  /** Has a question answered by a job. */
  readonly answerLater: (id: string) => Promise<void>
}

/** As long as a message of the chat may be. */
const MAX_QUESTION_LENGTH = 32_000
const CUT = '… [cut]'

export type Received =
  | { readonly kind: 'new'; readonly id: string; readonly messageId: string | null }
  | { readonly kind: 'known'; readonly known: KnownArrival }

/** What is said to us by apps: checked, written down once for each key, and left to a job. */
export function makeReceive(deps: ReceiveDeps) {
  const { inOrg, keyring, newId } = deps

  /** Already known: the first one's transaction has committed by then. */
  async function known(integration: InboundIntegration, key: string): Promise<Received> {
    const { orgId, id: integrationId } = integration
    const found = await inOrg(orgId, (_, client) =>
      findArrival(client, { orgId, integrationId, key }),
    )
    if (found === null)
      throw new AppError('CONFLICT', 'It was being taken back at that moment: send it again.')
    return { kind: 'known', known: found }
  }

  return {
    /**
     * Reads what was posted to one integration.
     *
     * @param isFor whether such apps post there
     * @returns null: it is signed, and there is nothing to do
     * @throws AppError `NOT_FOUND`, `UNAUTHENTICATED`, `INVALID_BODY`, `FORBIDDEN` where it is disabled
     */
    async read(
      integrationId: string,
      isFor: (providerKey: string) => boolean,
      request: InboundRequest,
    ): Promise<{ integration: InboundIntegration; said: Said } | null> {
      const integration = await deps.byId(integrationId)
      if (integration === null) throw notFound('integration')
      const { providerKey } = integration
      const readInbound = deps.findProvider(providerKey)?.readInbound ?? null
      if (!isFor(providerKey) || readInbound === null) throw notFound('integration')
      const inbound = readInbound(request, await deps.openSecrets(integration))
      switch (inbound.kind) {
        case 'refused':
          throw new AppError('UNAUTHENTICATED', inbound.reason)
        case 'invalid': {
          const [first] = inbound.details
          const { details } = inbound
          throw new AppError('INVALID_BODY', `${first?.path}: ${first?.message}`, { details })
        }
        case 'ignored':
          return null
        case 'said':
          if (!integration.isEnabled) {
            throw new AppError('FORBIDDEN', 'The integration is disabled.')
          }
          return { integration, said: inbound.said }
      }
    },

    /** A message of a conversation that is named, and an answer to it where one is wanted. */
    async addMessage(integration: InboundIntegration, said: Said): Promise<Received> {
      if (!('conversationId' in said.where)) throw new Error('no conversation is named')
      const { orgId, id: integrationId, providerKey } = integration
      const { key, text, user, where, isAsking } = said
      const { conversationId } = where
      const id = newId()
      const messageId = newId()
      const question: Question = { text, user, where, answer: 'event', saidId: messageId }
      const payload = isAsking ? await sealQuestion(keyring, orgId, id, question) : null
      const isNew = await inOrg(orgId, async (tx, client) => {
        const arrival = { id, orgId, integrationId, key, payload, messageId }
        if (!(await putArrival(client, arrival))) return false
        await deps.addMessage(tx, {
          id: messageId,
          orgId,
          conversationId,
          content: text,
          userId: `${providerKey}:${user.id}`.slice(0, 256),
          integrationId,
          externalUser: user,
        })
        return true
      })
      if (!isNew) return known(integration, key)
      if (isAsking) await deps.answerLater(id)
      return { kind: 'new', id, messageId }
    },

    /** A question; a job is not asked for. */
    async ask(integration: InboundIntegration, key: string, question: Question): Promise<Received> {
      const { orgId, id: integrationId } = integration
      const id = newId()
      const text = cutText(question.text, MAX_QUESTION_LENGTH, CUT)
      const payload = await sealQuestion(keyring, orgId, id, { ...question, text })
      const isNew = await inOrg(orgId, (_, client) =>
        putArrival(client, { id, orgId, integrationId, key, payload, messageId: null }),
      )
      return isNew ? { kind: 'new', id, messageId: null } : known(integration, key)
    },
  }
}
