import { randomUUID } from 'node:crypto'
import { makeAnswerQuestion } from '../inbound/answer.ts'
import { makeFindIntegration } from '../inbound/find-integration.ts'
import { makeFromSlack } from '../inbound/from-slack.ts'
import { makeAnswerInTime } from '../inbound/in-time.ts'
import { makeInbox } from '../inbound/inbox.ts'
import { makeReceive } from '../inbound/receive.ts'
import { makeThreads } from '../inbound/threads.ts'
import { makeWayBack, type WayBackDeps } from '../inbound/way-back.ts'
import { openCredentials } from '../integrations/credentials.ts'
import { disconnect } from '../integrations/disconnect.ts'
import { openOwnSecrets } from '../integrations/own-secrets.ts'
import type { Log } from '../telemetry/log.ts'
import type { Features } from './features.ts'
import { makePostTo } from './post-to.ts'
import type { Resources } from './resources.ts'
import { makeSlackClicks } from './slack-clicks.ts'

export type Inbound = ReturnType<typeof makeInbound>

/** The installation itself, in the audit log. */
const BY_APP = { principalId: 'app', address: null, requestId: null }

/** What comes in from apps, and how it is answered. */
export function makeInbound(
  resources: Resources,
  features: Features,
  log: Log,
  signal: AbortSignal,
) {
  const { pool, keyring, jobs, newId, registry } = resources
  const { inOrg, conversations, channels, callApp } = features
  const postTo = makePostTo(callApp)
  const threads = makeThreads(pool)
  const { byId, byPlace } = makeFindIntegration(pool)
  const inbox = makeInbox({ db: pool, keyring, newToken: randomUUID })
  const messageText = async (orgId: string, id: string) =>
    (await conversations.message(orgId, id))?.content ?? null

  const renderAnswer = (providerKey: string, text: string) => {
    const render = registry.get(providerKey).renderAnswer
    if (render === null) throw new Error(`${providerKey} takes no answers but events`)
    return render(text)
  }

  const ways: WayBackDeps = {
    channelSubscription: async (orgId, integrationId, providerKey, channel) => {
      const url = registry.get(providerKey).channelUrl?.(channel)
      if (url === undefined) return null
      const description = 'Answers to those who ask here'
      return channels.ensure(orgId, integrationId, { url, description }, BY_APP)
    },
    anySubscription: channels.any,
    postTo: async (orgId, providerKey, url, text) => {
      const { network } = registry.get(providerKey)
      await postTo(orgId, network, url, renderAnswer(providerKey, text))
    },
  }

  const answerQuestion = makeAnswerQuestion({
    ...ways,
    inOrg,
    inbox,
    threads,
    turn: features.turn,
    beginConversation: conversations.begin,
    messageText,
    wake: jobs.wake,
    log,
  })

  const receive = makeReceive({
    inOrg,
    keyring,
    newId,
    byId,
    findProvider: registry.find,
    openSecrets: async ({ orgId, id, credentials, inboundSecrets }) => ({
      credentials: await openCredentials(keyring, orgId, id, credentials),
      signingSecrets: await openOwnSecrets(
        keyring,
        orgId,
        id,
        'inbound',
        inboundSecrets,
        Date.now(),
      ),
    }),
    addMessage: conversations.add,
    answerLater: jobs.answer,
  })

  return {
    findIntegration: byId,
    threads,
    receive,
    messageText,
    anySubscription: channels.any,
    renderAnswer,
    wayBack: makeWayBack(ways, log),
    fromSlack: makeFromSlack({
      inOrg,
      newId,
      byPlace,
      conversationOf: threads.conversationOf,
      ask: receive.ask,
      answerLater: jobs.answer,
      disconnect,
      log,
    }),
    decideFromSlack: makeSlackClicks({
      byPlace,
      decide: async (...decision) => {
        const decided = await features.approvals.decide(...decision)
        jobs.wake()
        return decided
      },
      postTo,
      nowMs: Date.now,
      log,
    }),
    answerInTime: makeAnswerInTime({
      answerQuestion,
      answerAfter: jobs.answerAfter,
      messageText,
      signal,
      log,
    }),

    /** One question, for the job that names it. */
    async answer(id: string): Promise<void> {
      const { againInS } = await answerQuestion(id, signal)
      if (againInS !== null) jobs.answerAfter(id, againInS)
    },

    /** Asks again for jobs that were never sent, or whose worker is gone. */
    async sweep(): Promise<void> {
      for (const id of await inbox.overdue()) await jobs.answer(id)
    },
  }
}
