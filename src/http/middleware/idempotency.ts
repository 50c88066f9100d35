import { setTimeout as sleep } from 'node:timers/promises'
import { createMiddleware } from 'hono/factory'
import { ALIVE_EVERY_MS } from '../../auth/idempotency.ts'
import { AppError, invalidField } from '../../core/error.ts'
import type { AppEnv } from '../env.ts'

const KEY = /^[\x21-\x7e]{1,256}$/
/** A tool that was run, whatever came of it, must not run again. */
const KEPT_FAILURES = new Set([502, 504])
const STORE_WAIT_MS = 2000

/**
 * `Idempotency-Key` on POST: the same key and request within 24 hours get the first answer again. A request that was refused
 * had no effect, and its key stays free. Stands behind the check of permissions: who lost them gets no old answer either.
 */
export const idempotent = createMiddleware<AppEnv>(async (c, next) => {
  const key = c.req.header('idempotency-key')
  if (key === undefined) return next()
  if (!KEY.test(key)) {
    throw invalidField('Idempotency-Key', 'must be 1 to 256 visible ASCII characters')
  }
  if (c.req.header('accept')?.includes('text/event-stream') === true) {
    throw new AppError('UNPROCESSABLE', 'An answer that is streamed takes no Idempotency-Key.')
  }
  const url = new URL(c.req.url)
  const request = {
    orgId: c.req.param('orgId') ?? '',
    principalId: c.get('principal').id,
    key,
    fingerprint: JSON.stringify([url.pathname, url.search, await c.req.text()]),
  }
  const idempotency = c.get('idempotency')
  const begun = await idempotency.begin(request)
  if (begun.kind === 'replay') {
    c.header('Idempotency-Replayed', 'true')
    c.header('content-type', begun.answer.contentType)
    // The status was one of ours when it was stored.
    return c.body(begun.answer.body, begun.answer.status as 200)
  }
  const { holder } = begun
  // One that fails is followed by the next; when all fail, the key is given back.
  const alive = setInterval(
    () => void idempotency.keepAlive(request, holder).catch(() => undefined),
    ALIVE_EVERY_MS,
  )
  try {
    await next()
  } catch (error) {
    clearInterval(alive)
    throw error
  }
  const { status } = c.res
  const isKept = status < 300 || KEPT_FAILURES.has(status)
  const contentType = c.res.headers.get('content-type') ?? 'application/json'
  const storing = (
    isKept
      ? idempotency.finish(request, holder, {
          status,
          contentType,
          body: await c.res.clone().text(),
        })
      : idempotency.release(request, holder)
  ).finally(() => clearInterval(alive))
  // The answer stands, stored or not. Where the database is away, storing goes on behind it, and the key is kept meanwhile.
  await Promise.race([storing, sleep(STORE_WAIT_MS, undefined, { ref: false })])
  return undefined
})
