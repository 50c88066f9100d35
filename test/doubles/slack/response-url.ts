import { blockProblem } from './blocks.ts'
import { randomText } from './grants.ts'
import { type Call, type Fields, isFields, json, parseJson, plain, type Reply } from './http.ts'
import { findMessage, post, type World } from './world.ts'

/** [Slack, response_url: 5 times in 30 minutes] */
const MAX_USES = 5
const LIFE_MS = 1_800_000

/** Where an answer goes to. */
export interface Asked {
  readonly teamId: string
  readonly channelId: string
  readonly userId: string
  /** Of the message whose button was clicked. */
  readonly originalTs: string | null
}

export interface ResponseUrls {
  /** The path of a new one. */
  readonly open: (kind: 'commands' | 'actions', asked: Asked) => string
  readonly answer: (call: Call) => Reply
}

export function makeResponseUrls(world: World): ResponseUrls {
  const known = new Map<string, { asked: Asked; openedAtMs: number; uses: number }>()
  return {
    open: (kind, asked) => {
      const path = `/${kind}/${asked.teamId}/${known.size + 1}/${randomText()}`
      known.set(path, { asked, openedAtMs: world.now(), uses: 0 })
      return path
    },
    answer: (call) => {
      const target = known.get(call.path)
      const payload = parseJson(call.body)
      if (target === undefined) return failed('invalid_url')
      if (world.now() - target.openedAtMs > LIFE_MS) return failed('expired_url')
      if (target.uses >= MAX_USES) return failed('used_url')
      if (call.method !== 'POST' || !isFields(payload)) return plain(400, 'invalid_payload')
      const problem = payload.blocks === undefined ? null : blockProblem(payload.blocks)
      if (problem !== null) return failed(problem.error, 400)
      if (isEmpty(payload)) return failed('no_text', 400)
      target.uses += 1
      respond(world, call.path, target.asked, payload)
      return plain(200, 'ok')
    },
  }
}

/** A JSON object, although what goes well is answered in plain text. */
function failed(error: string, status = 404): Reply {
  return json({ ok: false, error }, status)
}

function isEmpty({ text, blocks, delete_original: isDeleting }: Fields): boolean {
  return isDeleting !== true && (text ?? '') === '' && !Array.isArray(blocks)
}

/**
 * Shows an answer, to the one who asked alone unless it says `in_channel`; or puts it in the place of the message whose
 * button was clicked, or takes that message away. [Slack, response_url]
 */
export function respond(world: World, path: string, asked: Asked, payload: Fields): void {
  const { teamId, channelId, userId, originalTs } = asked
  const original = originalTs === null ? undefined : findMessage(world, channelId, originalTs)
  if (payload.delete_original === true) {
    if (original !== undefined) world.messages.splice(world.messages.indexOf(original), 1)
    return
  }
  const by = { kind: 'response', path } as const
  if (original !== undefined && payload.replace_original === true) {
    const { threadTs, ephemeralTo, ts } = original
    post(world, { teamId, channelId, threadTs, by, payload, ephemeralTo, ts })
    return
  }
  const threadTs = typeof payload.thread_ts === 'string' ? payload.thread_ts : null
  const ephemeralTo = payload.response_type === 'in_channel' ? null : userId
  post(world, { teamId, channelId, threadTs, by, payload, ephemeralTo })
}
