import { once } from 'node:events'
import { setImmediate as turnOfOthers } from 'node:timers/promises'
import { Worker } from 'node:worker_threads'
import type { OperationVerdict, PlanOptions, ToolPlan } from './plan-tools.ts'
import type { RefusedDocument } from './read-document.ts'

const MAX_HEAP_MB = 384
const MAX_STACK_MB = 8
const AT_ONCE = 50

interface PlanInThreadOptions {
  readonly timeoutMs: number
}

/**
 * `planTools` of a document, in a thread of its own: a stranger's document may take seconds to read, or be made to take for
 * ever, and requests go on meanwhile. Gives up on what takes too long or too much memory. The thread has no secrets: of
 * credentials it knows the names.
 */
export function makePlanInThread({ timeoutMs }: PlanInThreadOptions) {
  return async function planInThread(
    openapi: unknown,
    options: Omit<PlanOptions, 'compile'>,
  ): Promise<ToolPlan | RefusedDocument> {
    const signal = AbortSignal.timeout(timeoutMs)
    const worker = new Worker(new URL('./plan-thread.ts', import.meta.url), {
      workerData: { openapi, options },
      env: {},
      execArgv: [],
      resourceLimits: { maxOldGenerationSizeMb: MAX_HEAP_MB, stackSizeMb: MAX_STACK_MB },
    })
    // Who waits hears of the first error; one that comes while the thread is being ended is nobody's.
    worker.on('error', () => undefined)
    try {
      const [plan] = await once(worker, 'message', { signal })
      return plan.kind === 'refused' ? plan : { ...plan, verdicts: await readAll(plan.verdicts) }
    } catch (error) {
      const problem = problemOf(error)
      if (problem === null) throw error
      return { kind: 'refused', message: problem }
    } finally {
      await worker.terminate()
    }
  }
}
/** A few at a time, so that others have their turn in between. */
async function readAll(texts: readonly string[]): Promise<OperationVerdict[]> {
  const verdicts: OperationVerdict[] = []
  for (const [at, text] of texts.entries()) {
    verdicts.push(JSON.parse(text))
    if (at % AT_ONCE === AT_ONCE - 1) await turnOfOthers()
  }
  return verdicts
}

export type PlanInThread = ReturnType<typeof makePlanInThread>

/** Why the document is at fault; null: it is not. */
function problemOf(error: unknown): string | null {
  if (!(error instanceof Error)) return null
  if (error.name === 'AbortError') return 'takes too long to read'
  if (error.name === 'RangeError') return 'is nested too deeply'
  const isOutOfMemory = 'code' in error && error.code === 'ERR_WORKER_OUT_OF_MEMORY'
  return isOutOfMemory ? 'takes too much memory to read' : null
}
