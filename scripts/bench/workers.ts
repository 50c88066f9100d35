import { randomBytes } from 'node:crypto'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { peakMemoryOf } from './cpu.ts'
import type { Database } from './databases.ts'
import type { Stage } from './part.ts'
import { type Child, startChild } from './processes.ts'

export interface WorkerOptions {
  /** Beside what every worker needs; what is not set has its default, as shipped. */
  readonly env?: Readonly<Record<string, string>>
  /** Without guard and encryption, see `bare-worker.ts`. */
  readonly isBare?: boolean
}

/** The product's worker in a process of its own. Its memory at the highest goes to the stage when it is ended. */
export function startWorker(
  stage: Pick<Stage, 'dir' | 'newName' | 'noteMemory' | 'signal'>,
  database: Pick<Database, 'url' | 'masterKey'>,
  { env = {}, isBare = false }: WorkerOptions = {},
): Child<never> {
  const logFile = join(stage.dir, `${stage.newName('worker')}.log`)
  const child = startChild<never>({
    ...(isBare
      ? { script: 'scripts/bench/bare-worker.ts' }
      : { script: 'src/main.ts', args: ['worker'] }),
    env: {
      DATABASE_URL: database.url,
      MASTER_KEY: database.masterKey,
      AUTH_JWT_SECRET: randomBytes(32).toString('hex'),
      EGRESS_ALLOW: '127.0.0.1',
      EGRESS_HTTP: 'allow',
      LOG_LEVEL: 'info',
      ...env,
    },
    logFile,
    signal: stage.signal,
  })
  return {
    ...child,
    [Symbol.asyncDispose]: async () => {
      const peak = peakMemoryOf(child.pid)
      if (peak !== null && !isBare) stage.noteMemory(peak)
      await child[Symbol.asyncDispose]()
      await rm(logFile, { force: true })
    },
  }
}
