import packageJson from '../../package.json' with { type: 'json' }
import { attemptTimeoutMs, type Config } from '../config.ts'
import { HOT_SETTINGS, INDEXED_SETTINGS } from '../db/hot-settings.ts'
import { openListener } from '../db/listener.ts'
import { openPool, type PoolOptions } from '../db/pool.ts'
import { type LaneConfig, makeAttempt } from '../delivery/attempt.ts'
import { claimDue } from '../delivery/claim.ts'
import { makeDispatcher } from '../delivery/dispatcher.ts'
import { loadEvents } from '../delivery/events.ts'
import { makeFollow } from '../delivery/follow.ts'
import { holdLanes } from '../delivery/hold.ts'
import { loadLanes } from '../delivery/lane-row.ts'
import { makeLanes } from '../delivery/lanes.ts'
import { recordAttempts } from '../delivery/record.ts'
import { makeRecorder } from '../delivery/recorder.ts'
import { sweep } from '../delivery/sweep.ts'
import { promoteDue, tendLanes } from '../delivery/tend.ts'
import { makeTidy, vacuumQueue } from '../delivery/tidy.ts'
import { makePumpRecoveries } from '../history/recovery-pump.ts'
import { makeMaintain } from '../history/retention.ts'
import { toAppError } from '../http/problem.ts'
import { makeOpenLane } from '../integrations/open-lane.ts'
import { makeRefresh } from '../integrations/refresh.ts'
import { forgetWindows } from '../limits/count.ts'
import { makeRelay } from '../outbox/relay.ts'
import type { Log } from '../telemetry/log.ts'
import { makeReadDue } from '../tools/mcp/client/read-due.ts'
import { sweepRuns } from '../tools/runs.ts'
import type { ApprovalWork } from './approval-work.ts'
import type { Features } from './features.ts'
import type { Inbound } from './inbound.ts'
import type { Resources } from './resources.ts'
import { refreshSlackToken } from './slack-app.ts'
import { makeSweep } from './sweep.ts'

/** What a worker stands on. */
export interface Works {
  readonly resources: Resources
  readonly features: Features
  readonly inbound: Inbound
  readonly approvalWork: ApprovalWork
}

/** Deliveries of a lane in flight: at first, and at most, one more for each that succeeds. */
const LANE_START = 16
const LANE_CONCURRENCY = 256
const DRAIN_MS = 30_000

/** The worker on its resources. Resolves when it has stopped after the signal, with every outcome written. */
export async function runWorker(
  config: Config,
  { resources, features, inbound, approvalWork }: Works,
  log: Log,
  stack: AsyncDisposableStack,
  signal: AbortSignal,
): Promise<void> {
  const { egress, keyring, jobs } = resources
  const leaseMs = config.LEASE_SECONDS * 1000
  const timeoutMs = attemptTimeoutMs(config)
  const open = (options: Omit<PoolOptions, 'url' | 'onError'>) => {
    const pool = openPool({
      ...options,
      url: resources.databaseUrl,
      onError: (error) => log.warn({ err: error }, 'database.connection_lost'),
    })
    stack.defer(() => pool.end())
    return pool
  }
  // Its own pool: the hot statements are few and known, must use their indexes whatever the statistics say, are planned once,
  // and may be allowed not to wait for the disk.
  const hot = open({
    max: 4,
    applicationName: 'patchbay worker',
    isDurable: config.DURABLE_LEASES,
    settings: HOT_SETTINGS,
  })
  // What feeds the queue need not wait for the disk: what a crash of Postgres takes back it does again, and nobody has sent it,
  // because a claim that is on the disk has all that was before it there too.
  const feed = open({
    max: 3,
    applicationName: 'patchbay feed',
    isDurable: false,
    settings: HOT_SETTINGS,
  })
  const upkeep = open({ max: 1, applicationName: 'patchbay upkeep', settings: INDEXED_SETTINGS })
  // Moving what a default partition caught in weeks may take minutes.
  const patient = open({
    max: 1,
    applicationName: 'patchbay maintenance',
    settings: ['statement_timeout=600000'],
  })
  // Who stops us waits for it.
  const tidying = open({
    max: 1,
    applicationName: 'patchbay tidy',
    settings: ['statement_timeout=5000'],
  })
  const maintain = makeMaintain({ db: patient, log, retentionDays: config.RETENTION_DAYS })
  await maintain()
  const tidy = makeTidy({
    vacuum: () => vacuumQueue(tidying),
    log,
    nowMs: () => performance.now(),
    signal,
  })
  const recorder = makeRecorder({
    record: (records) => recordAttempts(hot, records),
    log,
    flushMs: 10,
    flushAt: Math.min(128, Math.ceil(config.WORKER_CONCURRENCY / 4)),
    giveUpMs: leaseMs * 2,
    onRecorded: (records) => {
      dispatcher.recorded(records)
      tidy.recorded(records.length)
    },
  })
  const { refresh, refreshDue } = makeRefresh({
    db: resources.pool,
    keyring,
    refreshToken: refreshSlackToken(config),
    callApp: features.callApp,
    log,
  })
  const readDueTools = makeReadDue({ db: resources.pool, readTools: features.readTools, log })
  const refusals = makeFollow({ db: resources.pool, log, refresh: jobs.refresh })
  const dispatcher = makeDispatcher({
    relay: makeRelay(feed),
    promote: (limit) => promoteDue(feed, limit),
    claim: (claim) => claimDue(hot, claim),
    tend: () => tendLanes(feed),
    holdLanes: (ids) => holdLanes(hot, ids),
    lanesOf: makeLanes<LaneConfig>({
      load: (ids) => loadLanes(hot, ids),
      open: makeOpenLane({
        keyring,
        getProvider: resources.registry.get,
        judgeUrl: egress.judge,
        defaultScheduleS: config.RETRY_SCHEDULE,
      }),
      isPassing: (error) => toAppError(error).code === 'UNAVAILABLE',
      onBroken: (subscriptionId, error) =>
        log.error({ err: error, subscription_id: subscriptionId }, 'subscription.broken'),
      nowMs: Date.now,
      maxLanes: 50_000,
    }),
    eventsOf: (deliveries) => loadEvents(hot, deliveries),
    attempt: makeAttempt({
      threads: inbound.threads,
      onThreadLost: (place, error) =>
        log.warn({ err: error, integration_id: place.integrationId }, 'thread.lost'),
      send: egress.send,
      nowMs: Date.now,
      timeoutMs,
      userAgent: `Patchbay/${packageJson.version}`,
    }),
    follow: refusals.follow,
    recorder,
    random: Math.random,
    log,
    meter: resources.meter,
    concurrency: config.WORKER_CONCURRENCY,
    laneStart: LANE_START,
    laneConcurrency: LANE_CONCURRENCY,
    pollMs: 250,
    leaseMs,
    attemptTimeoutMs: timeoutMs,
    graceMs: 8000,
  })
  await jobs.workDispatch(() => dispatcher.drain(DRAIN_MS))
  // What hosts say after their commits: `patchbay.wake()`.
  stack.use(
    openListener({
      url: resources.databaseUrl,
      channel: 'patchbay_wake',
      applicationName: 'patchbay wake',
      onNotice: () => void dispatcher.drain(0),
      onError: (error) => log.warn({ err: error }, 'database.connection_lost'),
    }),
  )
  await jobs.workMaintenance(async () => {
    await maintain()
    await forgetWindows(patient, Date.now())
  })
  const steps = {
    lanes: async () => {
      const found = await sweep(hot)
      if (found.lanes + found.conversations > 0) log.warn(found, 'lanes.swept')
    },
    questions: inbound.sweep,
    runs: async () => {
      const lost = await sweepRuns(upkeep)
      if (lost > 0) log.warn({ runs: lost }, 'tool_runs.lost')
    },
    approvals: approvalWork.sweep,
    tokens: refreshDue,
    tools: readDueTools,
  }
  await jobs.workSweep(makeSweep(steps, log))
  await jobs.workAnswers(inbound.answer)
  await jobs.workApprovals(approvalWork.carryOut)
  await jobs.workRefreshes(refresh)
  await jobs.workToolReadings(async (orgId, integrationId) => {
    await features.readTools(orgId, integrationId)
  })
  const pumpRecoveries = makePumpRecoveries({ db: upkeep, log, wake: jobs.wake })
  await jobs.workRecovery(() => pumpRecoveries(signal))
  await dispatcher.run(signal)
  await Promise.all([refusals.settled(), tidy.settled()])
}
