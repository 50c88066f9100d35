import { PgBoss } from 'pg-boss'
import { startPatchbay, type TestProcess, until } from '../fixtures/process.ts'
import type { Story } from './story.ts'

/** A worker process of a story that has none of its own. */
export async function startWorker({ env }: Pick<Story, 'env'>): Promise<TestProcess> {
  const worker = startPatchbay('worker', { ...env, LOG_LEVEL: 'info' })
  await until('the worker is up', () => worker.output().includes('service.started'))
  return worker
}

/** What is done every minute, now. */
export async function askForSweep({ env }: Pick<Story, 'env'>): Promise<void> {
  const connectionString = env.DATABASE_URL ?? ''
  const boss = new PgBoss({ connectionString, schema: 'pgboss', supervise: false, schedule: false })
  await boss.start()
  await boss.send('sweep')
  await boss.stop({ graceful: false })
}
