import { randomBytes } from 'node:crypto'
import { readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { peakMemoryOf } from './cpu.ts'
import type { Database, EmptyDatabase } from './databases.ts'
import type { Stage } from './part.ts'
import { type Child, startChild } from './processes.ts'

const LOOK_MS = 25

type Place = Pick<Stage, 'dir' | 'newName' | 'noteMemory' | 'signal'>

export interface WorkerOptions {
  /** Beside what every worker needs; what is not set has its default, as shipped. */
  readonly env?: Readonly<Record<string, string>>
  /** Without guard and encryption, see `bare-worker.ts`. */
  readonly isBare?: boolean
}

/** The product's worker in a process of its own. Its memory at the highest goes to the stage when it is ended. */
export function startWorker(
  stage: Place,
  database: Pick<Database, 'url' | 'masterKey'>,
  options: WorkerOptions = {},
): Child<never> {
  return start('worker', stage, database, options)
}

/** A process of the product, as shipped. */
export interface Product extends Child<never> {
  /** Of its API; null: it is a worker. */
  readonly url: string | null
}

/** Returns when it says that it has started. */
export async function startProduct(
  role: 'api' | 'worker',
  stage: Place,
  database: Pick<EmptyDatabase, 'url' | 'masterKey' | 'jwtSecret'>,
): Promise<Product> {
  const env = { AUTH_JWT_SECRET: database.jwtSecret, PORT: '0' }
  const child = start(role, stage, database, { env })
  for (;;) {
    child.assertRunning()
    const lines = (await readFile(child.logFile, 'utf8')).split('\n')
    const started = lines.find((line) => line.includes('"service.started"'))
    if (started !== undefined) return { ...child, url: JSON.parse(started).url }
    await sleep(LOOK_MS, undefined, { signal: stage.signal })
  }
}

function start(
  role: 'api' | 'worker',
  stage: Place,
  database: Pick<Database, 'url' | 'masterKey'>,
  { env = {}, isBare = false }: WorkerOptions,
) {
  const logFile = join(stage.dir, `${stage.newName(role)}.log`)
  const child = startChild<never>({
    ...(isBare
      ? { script: 'scripts/bench/bare-worker.ts' }
      : { script: 'src/main.ts', args: [role] }),
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
    logFile,
    [Symbol.asyncDispose]: async () => {
      const peak = peakMemoryOf(child.pid)
      if (peak !== null && role === 'worker' && !isBare) stage.noteMemory(peak)
      await child[Symbol.asyncDispose]()
      await rm(logFile, { force: true })
    },
  }
}
