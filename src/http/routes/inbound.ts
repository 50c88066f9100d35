import type { Context } from 'hono'
import { AppError } from '../../core/error.ts'
import { isUuid } from '../../core/id.ts'
import type { InboundRequest } from '../../core/provider.ts'
import type { makeAnswerInTime } from '../../inbound/in-time.ts'
import type { KnownArrival } from '../../inbound/inbox.ts'
import type { makeReceive } from '../../inbound/receive.ts'
import type { Verdict } from '../../limits/window.ts'
import type { AppEnv } from '../env.ts'
import { limitBody, refuseCodings } from '../middleware/request.ts'
import { makeRouter } from '../route.ts'

export interface InboundRoutesDeps {
  readonly receive: ReturnType<typeof makeReceive>
  readonly answerInTime: ReturnType<typeof makeAnswerInTime>
  /** The text of an answer that was given before. */
  readonly messageText: (orgId: string, messageId: string) => Promise<string | null>
  readonly anySubscription: (orgId: string, integrationId: string) => Promise<string | null>
  /** The body of an answer, as the app takes it. */
  readonly renderAnswer: (providerKey: string, text: string) => string
  /** Takes one of what an integration may send; null: it is not limited. */
  readonly takeInbound: ((integrationId: string) => Promise<Verdict>) | null
}

const isTeams = (providerKey: string) => providerKey === 'teams'
const isProgram = (providerKey: string) => !isTeams(providerKey)

const WORKING = 'I am working on it. The answer comes to the channel in a moment.'
const NOWHERE =
  'That takes longer than Teams waits for an answer, and I have no workflow to bring it by. Ask me again in a minute, or have an admin add a Workflows URL with content "full".'
const FAILED = 'I could not answer that. Please ask me again.'
const ALREADY = 'I have that question already and am working on it.'

/** What apps send to one integration. Nobody is logged in here: the request's signature is what counts. */
export function inboundRoutes(deps: InboundRoutesDeps) {
  const { receive } = deps

  async function read(c: Context<AppEnv>, isFor: (providerKey: string) => boolean) {
    const integrationId = c.req.param('integrationId') ?? ''
    if (!isUuid(integrationId)) throw new AppError('NOT_FOUND', 'No such integration.')
    requireJsonType(c)
    const found = await receive.read(integrationId, isFor, await toInbound(c))
    // Only what is signed counts: whoever merely knows the address keeps nobody out.
    await limit(integrationId)
    return found
  }

  async function limit(integrationId: string): Promise<void> {
    const verdict = await deps.takeInbound?.(integrationId)
    if (verdict === undefined || verdict.isAllowed) return
    const retryAfterS = Math.max(1, Math.ceil(verdict.resetMs / 1000))
    throw new AppError('RATE_LIMITED', `More than ${verdict.limit} requests in a minute.`, {
      retryAfterS,
    })
  }

  return makeRouter()
    .use('/inbound/*', refuseCodings, limitBody)
    .post('/inbound/teams/:integrationId', async (c) => {
      const found = await read(c, isTeams)
      if (found === null) return answered(c, 'teams', 'Ask me something.')
      const { integration, said } = found
      const { orgId } = integration
      const { text, user, where } = said
      const question = { text, user, where, answer: 'webhook' as const, saidId: null }
      const received = await receive.ask(integration, said.key, question)
      const answer =
        received.kind === 'new'
          ? ((await deps.answerInTime(orgId, received.id)) ?? (await later(integration)))
          : await again(orgId, received.known)
      return answered(c, integration.providerKey, answer)
    })
    .post('/inbound/:integrationId', async (c) => {
      const found = await read(c, isProgram)
      if (found === null) return c.json({ messageId: null }, 200)
      const { integration, said } = found
      if (!('conversationId' in said.where)) throw new AppError('NOT_FOUND', 'No such integration.')
      const received = await receive.addMessage(integration, said)
      return received.kind === 'new'
        ? c.json({ messageId: received.messageId }, 202)
        : c.json({ messageId: received.known.messageId }, 200)
    })

  function answered(c: Context<AppEnv>, providerKey: string, text: string): Response {
    const type = { 'content-type': 'application/json; charset=utf-8' }
    return c.body(deps.renderAnswer(providerKey, text), 200, type)
  }

  async function later({ orgId, id }: { readonly orgId: string; readonly id: string }) {
    return (await deps.anySubscription(orgId, id)) === null ? NOWHERE : WORKING
  }

  async function again(orgId: string, { answerId, state }: KnownArrival): Promise<string> {
    if (state === 'failed') return FAILED
    return (answerId === null ? null : await deps.messageText(orgId, answerId)) ?? ALREADY
  }
}

/** Of the very bytes that came, which are what was signed: no mark at the beginning is taken off, and nothing is replaced. */
const exactly = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** The request as a provider reads it, its body as it came. */
export async function toInbound(c: Context<AppEnv>): Promise<InboundRequest> {
  return { headers: c.req.header(), rawBody: decoded(await c.req.arrayBuffer()), nowMs: Date.now() }
}

function decoded(body: ArrayBuffer): string {
  try {
    return exactly.decode(body)
  } catch (cause) {
    throw new AppError('INVALID_BODY', 'The body is not UTF-8.', { cause })
  }
}

function requireJsonType(c: Context<AppEnv>): void {
  const type = (c.req.header('content-type') ?? '').split(';')[0]?.trim().toLowerCase()
  if (type !== 'application/json') {
    throw new AppError('UNSUPPORTED_MEDIA_TYPE', 'Send application/json.')
  }
}
