import type { Fault } from '../fault.ts'
import { answerStatuses } from './answer-statuses.ts'
import { badReceivers } from './bad-receivers.ts'
import { crashPostgres, killBackend } from './crash-postgres.ts'
import { exhaustConnections } from './exhaust-connections.ts'
import { exhaustFiles } from './exhaust-files.ts'
import { failDns } from './fail-dns.ts'
import { floodOrg, storm } from './flood-queue.ts'
import { freezeWorker } from './freeze-worker.ts'
import { holdLock } from './hold-lock.ts'
import { holdSnapshot } from './hold-snapshot.ts'
import { jumpDate, jumpPostgresClock, jumpWorkerClock } from './jump-clock.ts'
import { killApi } from './kill-api.ts'
import { killBeforeRecord } from './kill-before-record.ts'
import { killEndpoints } from './kill-endpoints.ts'
import { killWorkers } from './kill-workers.ts'
import { poisonSubscription } from './poison-subscription.ts'
import { startTogether } from './start-together.ts'
import { stopGracefully } from './stop-gracefully.ts'
import { terminateConnections } from './terminate-connections.ts'

/** In the order they are run. */
export const FAULTS: readonly Fault[] = [
  killWorkers,
  killBeforeRecord,
  killApi,
  stopGracefully,
  freezeWorker,
  crashPostgres,
  killBackend,
  terminateConnections,
  exhaustConnections,
  holdLock,
  holdSnapshot,
  startTogether,
  badReceivers,
  jumpPostgresClock,
  jumpDate,
  jumpWorkerClock,
  answerStatuses,
  failDns,
  exhaustFiles,
  killEndpoints,
  floodOrg,
  storm,
  poisonSubscription,
]
