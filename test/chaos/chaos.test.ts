import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Cluster, openCluster } from './cluster.ts'
import type { Fault } from './fault.ts'
import { badReceivers } from './faults/bad-receivers.ts'
import { crashPostgres } from './faults/crash-postgres.ts'
import { freezeWorker } from './faults/freeze-worker.ts'
import { killBeforeRecord } from './faults/kill-before-record.ts'
import { killWorkers } from './faults/kill-workers.ts'
import { stopGracefully } from './faults/stop-gracefully.ts'
import { terminateConnections } from './faults/terminate-connections.ts'
import { runFault, type Verdict } from './run-fault.ts'

const SEED = 1

let cluster: Cluster

beforeAll(async () => {
  cluster = await openCluster()
})
afterAll(() => cluster[Symbol.asyncDispose]())

const STORIES: readonly [story: string, fault: Fault][] = [
  ['workers that are killed at random lose nothing and keep the order', killWorkers],
  ["a worker killed between a receiver's 200 and our record sends again", killBeforeRecord],
  ['a worker that is asked to stop under load repeats nothing', stopGracefully],
  ['a worker that wakes up after its lease changes nothing', freezeWorker],
  ['what was acknowledged survives a crash of Postgres', crashPostgres],
  ['processes survive the loss of every database connection', terminateConnections],
  ['bad receivers disturb no good one', badReceivers],
]

test.for(STORIES)('%s', async ([, fault]) => {
  const verdict = await runFault(fault, cluster, SEED, 'short')
  expect(problemsOf(verdict)).toEqual([])
})

function problemsOf(verdict: Verdict): readonly string[] {
  if (verdict.kind === 'impossible') return [verdict.reason]
  return verdict.kind === 'broken' ? verdict.problems : []
}
