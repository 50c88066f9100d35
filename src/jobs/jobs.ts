import { PgBoss } from 'pg-boss'
import type { Log } from '../telemetry/log.ts'

const DISPATCH = 'dispatch'
const MAINTENANCE = 'maintenance'
const RECOVERY = 'recovery'
const SWEEP = 'sweep'
const ANSWER = 'answer'
const REFRESH = 'refresh'
const APPROVAL = 'approval'
const READ_TOOLS = 'read_tools'
/** A server that hangs is not to hold up the others. */
const READINGS_AT_ONCE = 4
/** Questions that one worker process answers at a time: it waits for a model most of that time. */
const ANSWERS_AT_ONCE = 8
/** Approved calls that one worker process carries out at a time: it waits for their endpoints and a model. */
const APPROVALS_AT_ONCE = 4
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
  /** Has a question answered. Where this fails, or this process dies before it is time, a sweep finds the question. */
  readonly answer: (id: string) => Promise<void>
  readonly answerAfter: (id: string, afterS: number) => void
  readonly workAnswers: (answer: (id: string) => Promise<void>) => Promise<void>
  /** Has what is left to do of a decided approval done. Where this fails, a sweep finds it. */
  readonly carryOut: (id: string) => void
  readonly carryOutAfter: (id: string, afterS: number) => void
  readonly workApprovals: (carryOut: (id: string) => Promise<void>) => Promise<void>
  /** Has an integration's access token refreshed, which its app refused at this revision of the integration. */
  readonly refresh: (integrationId: string, revision: number) => Promise<void>
  readonly workRefreshes: (
    refresh: (integrationId: string, revision: number) => Promise<void>,
  ) => Promise<void>
  /** Has the tools of an MCP server read. Where this fails, a sweep finds that they are due. */
  readonly readTools: (orgId: string, integrationId: string) => Promise<void>
  readonly workToolReadings: (
    read: (orgId: string, integrationId: string) => Promise<void>,
  ) => Promise<void>
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
  // Of one question one waiting job: a sweep asks for those that only wait their turn as well.
  await ensureQueue(boss, ANSWER, { policy: 'short', notify: true, expireInSeconds: 300 })
  await ensureQueue(boss, APPROVAL, { policy: 'short', notify: true, expireInSeconds: 300 })
  await ensureQueue(boss, REFRESH, { notify: true, expireInSeconds: 60 })
  await ensureQueue(boss, READ_TOOLS, { policy: 'short', notify: true, expireInSeconds: 120 })

  let timer: NodeJS.Timeout | null = null
  const send = () => {
    timer = null
    boss.send(DISPATCH).catch((error: unknown) => {
      // Nothing is lost: the workers also look by themselves.
      log.warn({ err: error }, 'jobs.wake_failed')
    })
  }

  const laters = new Set<NodeJS.Timeout>()
  const sendOne = async (queue: string, id: string) => {
    await boss.send(queue, { id }, { singletonKey: id }).catch((error: unknown) => {
      log.warn({ err: error, queue, id }, 'jobs.not_sent')
    })
  }
  /** Not by `startAfter`: nobody is notified when such a job comes due. */
  const sendLater = (queue: string, id: string, afterS: number) => {
    const later = setTimeout(() => {
      laters.delete(later)
      void sendOne(queue, id)
    }, afterS * 1000)
    laters.add(later)
  }

  /**
   * Works on a queue of many jobs, one after the other. Where pg-boss is notified of jobs it rests for half a minute after each
   * that it took, more there may be: it is told to look again at once. What breaks is for the log: pg-boss would keep it as it is.
   */
  async function workOff<Data extends object>(
    name: string,
    pollingIntervalSeconds: number,
    handle: (data: Data) => Promise<void>,
  ): Promise<void> {
    let worker: string | null = null
    worker = await boss.work<Data>(name, { pollingIntervalSeconds }, async ([job]) => {
      try {
        if (job !== undefined) await handle(job.data)
      } catch (error) {
        log.warn({ err: error, queue: name }, 'jobs.broke')
      }
      if (worker !== null) boss.notifyWorker(worker)
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
    answer: (id) => sendOne(ANSWER, id),
    answerAfter: (id, afterS) => sendLater(ANSWER, id, afterS),
    workAnswers: async (answer) => {
      for (let worker = 0; worker < ANSWERS_AT_ONCE; worker += 1) {
        await workOff<{ id: string }>(ANSWER, 2, ({ id }) => answer(id))
      }
    },
    carryOut: (id) => void sendOne(APPROVAL, id),
    carryOutAfter: (id, afterS) => sendLater(APPROVAL, id, afterS),
    workApprovals: async (carryOut) => {
      for (let worker = 0; worker < APPROVALS_AT_ONCE; worker += 1) {
        await workOff<{ id: string }>(APPROVAL, 2, ({ id }) => carryOut(id))
      }
    },
    refresh: async (integrationId, revision) => {
      const once = { singletonKey: `${integrationId} ${revision}`, singletonSeconds: 10 }
      await boss.send(REFRESH, { integrationId, revision }, once).catch((error: unknown) => {
        // The next try that finds its token expired asks again.
        log.warn({ err: error, integration_id: integrationId }, 'jobs.refresh_not_sent')
      })
    },
    workRefreshes: async (refresh) => {
      type Refusal = { integrationId: string; revision: number }
      await workOff<Refusal>(REFRESH, 5, (refused) =>
        refresh(refused.integrationId, refused.revision),
      )
    },
    readTools: async (orgId, integrationId) => {
      const once = { singletonKey: integrationId }
      await boss.send(READ_TOOLS, { orgId, integrationId }, once).catch((error: unknown) => {
        log.warn({ err: error, integration_id: integrationId }, 'jobs.reading_not_sent')
      })
    },
    workToolReadings: async (read) => {
      for (let worker = 0; worker < READINGS_AT_ONCE; worker += 1) {
        await workOff<{ orgId: string; integrationId: string }>(READ_TOOLS, 5, (due) =>
          read(due.orgId, due.integrationId),
        )
      }
    },
    [Symbol.asyncDispose]: async () => {
      if (timer !== null) clearTimeout(timer)
      for (const later of laters) clearTimeout(later)
      await boss.stop({ graceful: true, timeout: 5000 })
    },
  }
}

type QueueOptions = NonNullable<Parameters<PgBoss['createQueue']>[1]>

async function ensureQueue(boss: PgBoss, name: string, options: QueueOptions): Promise<void> {
  await boss.createQueue(name, { retryLimit: 0, deleteAfterSeconds: 300, ...options })
}
