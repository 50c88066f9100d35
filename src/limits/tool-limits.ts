import { AppError } from '../core/error.ts'
import type { makeGate } from './gate.ts'
import type { Take } from './limiter.ts'
import type { Limit } from './window.ts'

/** A run that wants to start. A built-in tool has neither an integration nor a rate. */
export interface LimitedRun {
  readonly orgId: string
  readonly tool: string
  readonly toolId: string | null
  readonly integrationId: string | null
  readonly rateLimit: {
    readonly perSecond?: number | undefined
    readonly perMinute?: number | undefined
  } | null
  readonly signal?: AbortSignal | undefined
}

interface ToolLimitsDeps {
  readonly take: Take
  /** Of one org, in this process. */
  readonly enter: ReturnType<typeof makeGate>
  /** Runs a minute through one integration; 0: as many as come. */
  readonly perIntegration: number
}

/**
 * Runs the work when the tool's rate, its integration's rate and the org's share of this process let it. A run that has to be
 * refused is refused before it waits for a place.
 *
 * @throws AppError `RATE_LIMITED`, with the time after which it is worth another try
 */
export function makeToolLimits({ take, enter, perIntegration }: ToolLimitsDeps) {
  return async function limited<Result>(
    run: LimitedRun,
    work: () => Promise<Result>,
  ): Promise<Result> {
    for (const { key, limit, what } of limitsOf(run, perIntegration)) {
      const { isAllowed, resetMs } = await take(key, limit)
      if (isAllowed) continue
      const retryAfterS = Math.max(1, Math.ceil(resetMs / 1000))
      const text = `${run.tool}: ${what} is used up; try again in ${retryAfterS} s`
      throw new AppError('RATE_LIMITED', text, { retryAfterS })
    }
    const leave = await enter(run.orgId, run.signal)
    try {
      return await work()
    } finally {
      leave()
    }
  }
}

/** The narrowest first: what is refused there costs the wider ones nothing. */
function limitsOf({ toolId, integrationId, rateLimit }: LimitedRun, perIntegration: number) {
  const limits: { key: string; limit: Limit; what: string }[] = []
  const { perSecond, perMinute } = rateLimit ?? {}
  if (perSecond !== undefined) {
    const limit = { points: perSecond, windowMs: 1000 }
    limits.push({ key: `tool/${toolId}/second`, limit, what: `its rate of ${perSecond} a second` })
  }
  if (perMinute !== undefined) {
    const limit = { points: perMinute, windowMs: 60_000 }
    limits.push({ key: `tool/${toolId}/minute`, limit, what: `its rate of ${perMinute} a minute` })
  }
  if (integrationId !== null && perIntegration > 0) {
    const limit = { points: perIntegration, windowMs: 60_000 }
    const what = `its integration's rate of ${perIntegration} a minute`
    limits.push({ key: `integration/${integrationId}`, limit, what })
  }
  return limits
}
