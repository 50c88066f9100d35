import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Consequence, Outcome } from '../core/delivery.ts'
import type { EventRecord } from '../core/event.ts'
import { type Settlement, settle } from '../core/settle.ts'
import type { Log } from '../telemetry/log.ts'
import type { Meter } from '../telemetry/meter.ts'
import type { AttemptLimits, LaneConfig, Tried } from './attempt.ts'
import type { Claim, Claimed, ClaimedRow } from './claim.ts'
import { makeInFlight } from './in-flight.ts'
import type { OpenedLanes } from './lanes.ts'
import { type Found, makeLoop } from './loop.ts'
import type { AttemptRecord, Next } from './record.ts'
import { makeWalk } from './walk.ts'

/** Of the slots: what lanes may fill together that are failing or have never delivered. */
const UNPROVEN_SHARE = 0.5
/** Of the slots: as many outcomes may wait to be written without taking any. */
const UNRECORDED_SHARE = 0.5
/** An endpoint that takes so long hangs, or might as well. */
const HUNG_MS = 5000
/** Of all slots, what one claim takes for them: those that hang reach the time limit together, and would be followed together. */
const UNPROVEN_AT_ONCE = 1 / 32
const UNOPENED: Outcome = {
  kind: 'interrupted',
  error: 'the subscription could not be opened',
  // Somebody has to mend something.
  waitMs: 60_000,
}
const WAITING: Outcome = {
  kind: 'interrupted',
  error: 'the subscription could not be opened at that moment',
  waitMs: 10_000,
}
const RELAY_BATCH = 2000
const PROMOTE_BATCH = 1000
/** What only time makes due is looked for so often: less often than work comes. */
const PROMOTE_EVERY_MS = 100
const TEND_EVERY_MS = 200
/** How late a delivery of a rate-limited lane may be on its way; after that its moment is another one's. */
const PACED_TOLERANCE_MS = 50
/** And how long it may then take to have a connection. */
const PACED_CONNECT_MS = 5500
const UNLOADED: Outcome = {
  kind: 'interrupted',
  error: 'the subscription or the event could not be loaded',
}
const MISSED_MOMENT: Outcome = {
  kind: 'interrupted',
  error: 'its moment in the rate limit had passed before it could leave',
}

export interface DispatcherDeps {
  /** `isCut`: it ended before it had taken all that is pending. */
  readonly relay: (limit: number) => Promise<{ events: number; deliveries: number; isCut: boolean }>
  readonly promote: (limit: number) => Promise<number>
  readonly claim: (claim: Claim) => Promise<Claimed>
  readonly tend: () => Promise<number>
  readonly holdLanes: (subscriptionIds: readonly string[]) => Promise<void>
  readonly lanesOf: (rows: readonly ClaimedRow[]) => Promise<OpenedLanes<LaneConfig>>
  readonly eventsOf: (rows: readonly ClaimedRow[]) => Promise<ReadonlyMap<string, EventRecord>>
  readonly attempt: (
    row: ClaimedRow,
    event: EventRecord | undefined,
    lane: LaneConfig,
    limits: AttemptLimits,
  ) => Promise<Tried>
  /** Sees to what an app's refusal means beyond the try; the next try that is refused says it again. */
  readonly follow: (row: ClaimedRow, lane: LaneConfig, consequence: Consequence) => void
  readonly recorder: {
    readonly add: (record: AttemptRecord) => void
    readonly unrecorded: () => number
    readonly flush: () => Promise<void>
  }
  readonly random: () => number
  readonly log: Log
  readonly meter: Pick<Meter, 'attempted'>
  readonly concurrency: number
  /** Deliveries of one lane in flight in this process, about: of one that is new or failing, and of one that answers. */
  readonly laneStart: number
  readonly laneConcurrency: number
  readonly pollMs: number
  readonly leaseMs: number
  /** No try lasts longer, once it has started. */
  readonly attemptTimeoutMs: number
  /** How long deliveries in flight may take to end when we stop, before they are interrupted. */
  readonly graceMs: number
}

/**
 * What one worker process does, in two loops that wait for each other no more than they must: one feeds the queue (relay, what
 * has come due, lanes that may go on), the other claims and sends. Both rest when nothing is due, until they are woken or the
 * next poll. Slots are what bounds it: a delivery holds one from its claim until its answer, and where many outcomes wait to be
 * written until that.
 */
export function makeDispatcher(deps: DispatcherDeps) {
  const attempts = new AbortController()
  const inFlight = makeInFlight(deps.laneStart, deps.laneConcurrency)
  const idleWaiters = new Set<() => void>()
  const allLanes = makeWalk()
  const provenLanes = makeWalk()
  let isPastOthers = false
  /** Something was left behind, or became ready while there was no room, that can go when something ends. */
  let isRoomWanted = false
  let isAsked = false
  let isStopped = false

  const freeSlots = () => {
    const waiting = deps.recorder.unrecorded() - deps.concurrency * UNRECORDED_SHARE
    return deps.concurrency - inFlight.total() - Math.max(0, waiting)
  }
  const unprovenSlots = () =>
    Math.max(0, Math.ceil(deps.concurrency * UNPROVEN_SHARE) - inFlight.unproven())
  const unprovenAtOnce = Math.ceil(deps.concurrency * UNPROVEN_AT_ONCE)

  /** @param claimAtMs before the claim was asked for, so that no lease ends earlier than we think */
  function start(
    row: ClaimedRow,
    event: EventRecord | undefined,
    lane: LaneConfig,
    claimAtMs: number,
  ): void {
    const startByMs = claimAtMs + deps.leaseMs - deps.attemptTimeoutMs
    const sending =
      row.send_after_ms === null
        ? deps.attempt(row, event, lane, { startByMs, signal: attempts.signal })
        : attemptAt(row, event, lane, performance.now() + row.send_after_ms, startByMs)
    sending
      .catch((error: unknown): Tried => {
        deps.log.error({ err: error, delivery_id: row.delivery_id }, 'delivery.attempt_broke')
        return {
          outcome: { kind: 'interrupted', error: 'an error inside Patchbay' },
          durationMs: 0,
        }
      })
      .then(({ outcome, durationMs }) => {
        inFlight.ended(row.subscription_id, row.is_unproven, outcome.kind, coolingOf(durationMs))
        deps.recorder.add(toRecord(row, outcome, durationMs, lane.scheduleS, deps.random()))
        logAttempt(deps.log, row, outcome, durationMs)
        deps.meter.attempted(outcome.kind, durationMs)
        if ('consequence' in outcome && outcome.consequence !== undefined) {
          deps.follow(row, lane, outcome.consequence)
        }
      })
      // biome-ignore lint/suspicious/noConsole: the last resort when even the log threw
      .catch(console.error)
  }

  /** Waits for the moment that a rate-limited lane has for this delivery. Shutdown ends the wait: the try then says so. */
  async function attemptAt(
    row: ClaimedRow,
    event: EventRecord | undefined,
    lane: LaneConfig,
    atMs: number,
    startByMs: number,
  ): Promise<Tried> {
    const waitMs = Math.max(0, atMs - performance.now())
    await sleep(waitMs, undefined, { signal: attempts.signal }).catch(() => undefined)
    if (performance.now() > atMs + PACED_TOLERANCE_MS) {
      return { outcome: MISSED_MOMENT, durationMs: 0 }
    }
    return deps.attempt(row, event, lane, {
      startByMs: Math.min(startByMs, atMs + PACED_TOLERANCE_MS + PACED_CONNECT_MS),
      signal: attempts.signal,
    })
  }

  /** Lanes that have never delivered have to be opened first: others do not wait for that. */
  function loadAndStart(deliveries: readonly ClaimedRow[], claimAtMs: number): void {
    const events = deps.eventsOf(deliveries)
    for (const rows of Map.groupBy(deliveries, (row) => row.is_unproven).values()) {
      openAndStart(rows, events, claimAtMs).catch((error: unknown) => {
        deps.log.warn({ err: error }, 'dispatcher.database_unavailable')
        // Their leases are given back, not left to run out.
        for (const row of rows) giveBack(row, UNLOADED)
      })
    }
  }

  async function openAndStart(
    rows: readonly ClaimedRow[],
    loading: Promise<ReadonlyMap<string, EventRecord>>,
    claimAtMs: number,
  ): Promise<void> {
    const [lanes, events] = await Promise.all([deps.lanesOf(rows), loading])
    for (const row of rows) {
      const lane = lanes.open.get(row.subscription_id)
      if (lane !== undefined) start(row, events.get(row.event_id), lane, claimAtMs)
      else giveBack(row, lanes.waiting.has(row.subscription_id) ? WAITING : UNOPENED)
    }
  }

  /** What hung together is not followed together: its slots are free for others of its kind over a while. */
  const coolingOf = (durationMs: number) =>
    durationMs < HUNG_MS ? 0 : (durationMs / 3) * deps.random()

  function giveBack(row: ClaimedRow, outcome: Outcome): void {
    inFlight.ended(row.subscription_id, row.is_unproven, outcome.kind, 0)
    deps.recorder.add(toRecord(row, outcome, 0, [], deps.random()))
  }

  /** Claims what there is room for. */
  async function claimAndStart(): Promise<Found> {
    const slots = freeSlots()
    if (slots * 4 < deps.concurrency && inFlight.total() > 0) {
      isRoomWanted = true
      return 'nothing'
    }
    const rooms = inFlight.rooms()
    const isFull = unprovenSlots() === 0
    // Every second claim of a long walk goes past lanes of which some hang, so that they hold up nobody.
    isPastOthers = isFull || (!isPastOthers && allLanes.isUnderWay() && inFlight.unproven() > 0)
    const walk = isPastOthers ? provenLanes : allLanes
    const claim: Claim = {
      slots,
      perLane: deps.laneStart,
      lanesWithRoom: rooms.lanes,
      rooms: rooms.sizes,
      unprovenSlots: Math.min(unprovenSlots(), unprovenAtOnce),
      isProvenOnly: isPastOthers,
      ...walk.next(slots),
      busyLanes: inFlight.busyLanes(),
      leaseMs: deps.leaseMs,
      leaseToken: randomUUID(),
    }
    // Also while the claim is under way: what it leaves behind may be all that ends.
    isRoomWanted = claim.busyLanes.length > 0 || isFull
    const claimAtMs = performance.now()
    const claimed = await deps.claim(claim)
    const { deliveries, stoppedLanes } = claimed
    for (const row of deliveries) inFlight.started(row.subscription_id, row.is_unproven)
    // The next claim does not wait for it: while all of them are on their way, nothing is sent.
    loadAndStart(deliveries, claimAtMs)
    if (stoppedLanes.length > 0) await deps.holdLanes(stoppedLanes)
    const isCut =
      walk.went(slots, claim.lanes, claimed) ||
      (claim.unprovenSlots > 0 && countUnproven(deliveries) >= claim.unprovenSlots)
    isRoomWanted ||= isCut || unprovenSlots() === 0
    return isCut || (!isFull && allLanes.isUnderWay()) ? 'more' : 'nothing'
  }

  const promote = every(PROMOTE_EVERY_MS, () => deps.promote(PROMOTE_BATCH))
  const tend = every(TEND_EVERY_MS, deps.tend)

  /** Makes deliveries ready. */
  async function feed(): Promise<Found> {
    const wasAsked = isAsked
    isAsked = false
    let hasWoken = false
    const wakeIf = (ready: number) => {
      hasWoken ||= ready > 0
      if (ready > 0) sending.wake()
      return ready
    }
    const relaying = deps.relay(RELAY_BATCH).then((relayed) => {
      wakeIf(relayed.deliveries)
      return relayed
    })
    const timely = [promote().then(wakeIf), tend().then(wakeIf)]
    // All of them end before the next round, and before we stop, also when one breaks.
    await Promise.allSettled([relaying, ...timely])
    if (wasAsked && !hasWoken) sending.wake()
    const [{ events, isCut }, ...made] = await Promise.all([relaying, ...timely])
    if (isCut || made.some((count) => count >= PROMOTE_BATCH)) return 'more'
    return events > 0 || hasWoken ? 'some' : 'nothing'
  }

  const loop = (step: () => Promise<Found>) =>
    makeLoop({
      step,
      pollMs: deps.pollMs,
      onRest: () => {
        if (feeding.isResting() && sending.isResting() && inFlight.total() === 0) {
          for (const done of idleWaiters) done()
        }
      },
      onError: (error) => deps.log.warn({ err: error }, 'dispatcher.database_unavailable'),
    })
  const feeding = loop(feed)
  const sending = loop(claimAndStart)

  return {
    /** Outcomes were written, so there may be room again, or others to send. */
    recorded: (records: readonly AttemptRecord[]): void => {
      isRoomWanted ||= records.some(({ isInLine }) => isInLine)
      if (isRoomWanted && freeSlots() * 4 >= deps.concurrency) sending.wake()
    },

    /** Look now: something was committed. Resolves when nothing is due any more, after `maxMs`, or when we stop. */
    drain: (maxMs: number): Promise<void> =>
      new Promise((resolve) => {
        // Nobody looks any more, so nobody would say that it is done.
        if (isStopped) return resolve()
        const done = () => {
          clearTimeout(timer)
          idleWaiters.delete(done)
          resolve()
        }
        const timer = setTimeout(done, maxMs)
        idleWaiters.add(done)
        isAsked = true
        feeding.wake()
      }),

    /** Runs until the signal; then ends what is in flight, or interrupts it after the grace, and writes all outcomes. */
    async run(signal: AbortSignal): Promise<void> {
      await Promise.all([feeding.run(signal), sending.run(signal)])
      isStopped = true
      for (const done of idleWaiters) done()
      const deadline = performance.now() + deps.graceMs
      while (inFlight.total() > 0 && performance.now() < deadline) {
        await sleep(10)
      }
      attempts.abort()
      while (inFlight.total() > 0) await sleep(10)
      await deps.recorder.flush()
    },
  }
}

/** Does it at most so often, and says 0 in between; what fills a batch goes on at once. */
function every(everyMs: number, step: () => Promise<number>): () => Promise<number> {
  let doneAtMs = Number.NEGATIVE_INFINITY
  return async () => {
    const nowMs = performance.now()
    if (nowMs - doneAtMs < everyMs) return 0
    doneAtMs = nowMs
    const count = await step()
    if (count >= PROMOTE_BATCH) doneAtMs = Number.NEGATIVE_INFINITY
    return count
  }
}

const countUnproven = (rows: readonly ClaimedRow[]) =>
  rows.reduce((count, row) => count + Number(row.is_unproven), 0)

function toRecord(
  row: ClaimedRow,
  outcome: Outcome,
  durationMs: number,
  scheduleS: readonly number[],
  dice: number,
): AttemptRecord {
  const tried = { trigger: row.trigger, step: row.step, isResumable: row.is_resumable }
  const next = settle(tried, outcome, scheduleS, dice)
  return {
    deliveryId: row.delivery_id,
    leaseToken: row.lease_token,
    attempt: row.attempt,
    trigger: row.trigger,
    isInLine: row.is_in_order || row.trigger === 'manual' || row.trigger === 'test',
    outcome: outcome.kind,
    next: nextOf(next),
    afterMs: next.kind === 'again' ? next.afterMs : 0,
    statusCode: 'statusCode' in outcome ? outcome.statusCode : null,
    durationMs,
    error: 'error' in outcome ? outcome.error : null,
    snippet: 'snippet' in outcome ? outcome.snippet : null,
  }
}

function nextOf(settlement: Settlement): Next {
  if (settlement.kind !== 'again') return settlement.kind
  return settlement.spends ? 'retry' : 'free'
}

function logAttempt(log: Log, row: ClaimedRow, outcome: Outcome, durationMs: number): void {
  log.info(
    {
      org_id: row.org_id,
      subscription_id: row.subscription_id,
      event_id: row.event_id,
      delivery_id: row.delivery_id,
      attempt: row.attempt,
      outcome: outcome.kind,
      status_code: 'statusCode' in outcome ? outcome.statusCode : undefined,
      duration_ms: durationMs,
    },
    'delivery.attempted',
  )
}
