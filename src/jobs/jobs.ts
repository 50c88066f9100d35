import { PgBoss } from 'pg-boss'
import type { Log } from '../telemetry/log.ts'

const DISPATCH = 'dispatch'
const MAINTENANCE = 'maintenance'
const RECOVERY = 'recovery'
const SWEEP = 'sweep'
/** Commits that come together wake the workers together. */
const WAKE_DEBOUNCE_MS = 10

export interface Jobs extends AsyncDisposable {
  /**
   * Says after a commit that there is work: on pg-boss's own connection, never in the caller's transaction, and once for all
   * commits of the next few milliseconds.
   */
  readonly wake: () => void
  /** Runs `drain` whenever somebody wakes the workers. */
  readonly workDispatch: (drain: () => Promise<void>) => Promise<void>
  /** Runs `maintain` every hour in one process, whichever gets it. */
  readonly workMaintenance: (maintain: () => Promise<void>) => Promise<void>
  /** Runs `sweep` every minute in one process. */
  readonly workSweep: (sweep: () => Promise<void>) => Promise<void>
  /** Says that a recovery was begun. */
  readonly recover: () => Promise<void>
  /**
   * Runs `pump` when a recovery was begun, and every minute, so that one whose worker died goes on in another. It returns when
   * no recovery is left, or before a minute has passed.
   */
  readonly workRecovery: (pump: () => Promise<void>) => Promise<void>
}

interface JobsOptions {
  readonly url: string
  readonly log: Log
}

/** pg-boss: its queues, schedules and workers. Deliveries are not jobs; the jobs are what drives and tends them. */
export async function openJobs({ url, log }: JobsOptions): Promise<Jobs> {
  const boss = new PgBoss({
    connectionString: url,
    application_name: 'patchbay jobs',
    schema: 'pgboss',
    max: 3,
    useListenNotify: true,
  })
  boss.on('error', (error) => log.warn({ err: error }, 'jobs.failed'))
  boss.on('warning', (warning) => log.warn({ warning: warning.message }, 'jobs.warned'))
  await boss.start()
  // `short`: one waiting job is enough, because a drain takes everything there is.
  await ensureQueue(boss, DISPATCH, { policy: 'short', notify: true, expireInSeconds: 60 })
  await ensureQueue(boss, MAINTENANCE, { policy: 'short', expireInSeconds: 600 })
  await ensureQueue(boss, SWEEP, { policy: 'short', expireInSeconds: 60 })
  await ensureQueue(boss, RECOVERY, { policy: 'short', notify: true, expireInSeconds: 120 })

  let timer: NodeJS.Timeout | null = null
  const send = () => {
    timer = null
    boss.send(DISPATCH).catch((error: unknown) => {
      // Nothing is lost: the workers also look by themselves.
      log.warn({ err: error }, 'jobs.wake_failed')
    })
  }

  return {
    wake: () => {
      timer ??= setTimeout(send, WAKE_DEBOUNCE_MS)
    },
    workDispatch: async (drain) => {
      await boss.work(DISPATCH, { pollingIntervalSeconds: 2 }, drain)
    },
    workMaintenance: async (maintain) => {
      await boss.schedule(MAINTENANCE, '17 * * * *')
      await boss.work(MAINTENANCE, { pollingIntervalSeconds: 30 }, maintain)
    },
    workSweep: async (sweep) => {
      await boss.schedule(SWEEP, '* * * * *')
      await boss.work(SWEEP, { pollingIntervalSeconds: 15 }, sweep)
    },
    recover: async () => {
      await boss.send(RECOVERY).catch((error: unknown) => {
        // Nothing is lost: every minute somebody looks.
        log.warn({ err: error }, 'jobs.recovery_not_sent')
      })
    },
    workRecovery: async (pump) => {
      await boss.schedule(RECOVERY, '* * * * *')
      await boss.work(RECOVERY, { pollingIntervalSeconds: 2 }, pump)
    },
    [Symbol.asyncDispose]: async () => {
      if (timer !== null) clearTimeout(timer)
      await boss.stop({ graceful: true, timeout: 5000 })
    },
  }
}

type QueueOptions = NonNullable<Parameters<PgBoss['createQueue']>[1]>

async function ensureQueue(boss: PgBoss, name: string, options: QueueOptions): Promise<void> {
  await boss.createQueue(name, { retryLimit: 0, deleteAfterSeconds: 300, ...options })
}
