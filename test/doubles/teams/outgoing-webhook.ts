import { createHmac, randomBytes } from 'node:crypto'
import { z } from 'zod'

export interface TeamsUser {
  readonly name: string
  /** In the tenant; null for a guest. */
  readonly aadObjectId: string | null
}

export interface Mention {
  /** As the person typed it, after the mention. */
  readonly text: string
  readonly user?: TeamsUser
  /** A conversation of this channel to reply in, as `conversationId` of what was sent before; a new one otherwise. */
  readonly conversation?: string
  /** Instead of the text: the activity's own `text`, HTML and all. */
  readonly html?: string
  readonly timestamp?: Date
  /** Instead of the webhook's own token. */
  readonly signedWith?: string
  /** Of the activity, instead of `message`. */
  readonly type?: string
}

/** One request to the other side, and what came of it. */
export interface Sent {
  readonly activityId: string
  readonly conversationId: string
  readonly rawBody: string
  readonly authorization: string
  /** null: there was no answer within the time that Teams waits, or no server. */
  readonly status: number | null
  readonly body: string
  readonly durationMs: number
  /** Teams shows an error instead of the answer. */
  readonly isLate: boolean
  /** What the person sees as the answer; null: Teams says that something went wrong. */
  readonly shown: string | null
}

/** An outgoing webhook as an owner of a team creates it: a name to mention, a URL to call, a token that is shown once. */
export interface OutgoingWebhook {
  readonly name: string
  /** base64 of 32 bytes */
  readonly securityToken: string
  readonly channelId: string
  /** Oldest first. */
  readonly sent: readonly Sent[]
  readonly mention: (mention: Mention) => Promise<Sent>
  /** The same activity, byte for byte: nothing in the protocol tells it from a replay. */
  readonly sendAgain: (sent: Sent) => Promise<Sent>
}

const ADA: TeamsUser = {
  name: 'Ada Lovelace',
  aadObjectId: '4f1b1d2e-0000-4000-8000-5f6a7b8c9d01',
}

/** Only a message is shown, its text or its cards. */
const answer = z.object({ type: z.literal('message'), text: z.string().optional() })

export function makeOutgoingWebhook(
  target: { readonly name: string; readonly url: string },
  answerWithinMs: number,
): OutgoingWebhook {
  const securityToken = randomBytes(32).toString('base64')
  const channelId = `19:${randomBytes(16).toString('hex')}@thread.tacv2`
  const sent: Sent[] = []
  let count = 0

  async function post(request: Parameters<typeof exchange>[1]): Promise<Sent> {
    const done = await exchange(target.url, request, answerWithinMs)
    sent.push(done)
    return done
  }

  return {
    name: target.name,
    securityToken,
    channelId,
    sent,
    mention: (mention) => {
      count += 1
      const activityId = `${Date.now()}${String(count).padStart(4, '0')}`
      const conversationId = mention.conversation ?? `${channelId};messageid=${activityId}`
      const rawBody = activityText(
        { activityId, conversationId, channelId, name: target.name },
        mention,
      )
      const key = Buffer.from(mention.signedWith ?? securityToken, 'base64')
      const signature = createHmac('sha256', key).update(rawBody, 'utf8').digest('base64')
      return post({ activityId, conversationId, rawBody, authorization: `HMAC ${signature}` })
    },
    sendAgain: (earlier) => post(earlier),
  }
}

async function exchange(
  url: string,
  {
    activityId,
    conversationId,
    rawBody,
    authorization,
  }: Pick<Sent, 'activityId' | 'conversationId' | 'rawBody' | 'authorization'>,
  answerWithinMs: number,
): Promise<Sent> {
  const startedAt = performance.now()
  const request = { activityId, conversationId, rawBody, authorization }
  try {
    const response = await fetch(url, {
      method: 'POST',
      headers: { 'content-type': 'application/json; charset=utf-8', authorization },
      body: rawBody,
      redirect: 'manual',
      signal: AbortSignal.timeout(answerWithinMs),
    })
    const body = await response.text()
    const durationMs = performance.now() - startedAt
    const { status } = response
    return { ...request, status, body, durationMs, isLate: false, shown: shownOf(status, body) }
  } catch (error) {
    const durationMs = performance.now() - startedAt
    const isLate = error instanceof Error && error.name === 'TimeoutError'
    return { ...request, status: null, body: '', durationMs, isLate, shown: null }
  }
}

function shownOf(status: number, body: string): string | null {
  if (status !== 200) return null
  try {
    return answer.safeParse(JSON.parse(body)).data?.text ?? null
  } catch {
    // An answer that is no JSON is an error to whoever asked.
    return null
  }
}

/** A Bot Framework activity as Teams posts it: the mention as `<at>`, what was typed as HTML. */
function activityText(
  ids: {
    readonly activityId: string
    readonly conversationId: string
    readonly channelId: string
    readonly name: string
  },
  { text, html, user = ADA, timestamp = new Date(), type = 'message' }: Mention,
): string {
  const tenantId = '9b3c1a70-0000-4000-8000-0a1b2c3d4e5f'
  const said = html ?? `<at>${escapeHtml(ids.name)}</at> ${escapeHtml(text)}\n`
  return JSON.stringify({
    type,
    id: ids.activityId,
    timestamp: timestamp.toISOString(),
    localTimestamp: timestamp.toISOString(),
    serviceUrl: 'https://smba.trafficmanager.net/emea/',
    channelId: 'msteams',
    from: {
      id: `29:${Buffer.from(user.name).toString('base64url')}`,
      name: user.name,
      ...(user.aadObjectId === null ? {} : { aadObjectId: user.aadObjectId }),
    },
    conversation: {
      isGroup: true,
      id: ids.conversationId,
      name: null,
      conversationType: 'channel',
      tenantId,
    },
    recipient: null,
    textFormat: 'plain',
    attachmentLayout: null,
    membersAdded: [],
    membersRemoved: [],
    text: said,
    attachments: [{ contentType: 'text/html', content: `<div>${said}</div>` }],
    entities: [{ type: 'clientInfo', locale: 'en-US', country: 'US', platform: 'Web' }],
    channelData: {
      teamsChannelId: ids.channelId,
      teamsTeamId: ids.channelId,
      channel: { id: ids.channelId },
      team: { id: ids.channelId },
      tenant: { id: tenantId },
    },
    locale: 'en-US',
  })
}

function escapeHtml(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')
}
