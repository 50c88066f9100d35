import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseConfig } from '../../src/config.ts'
import { openEmbedded } from '../../src/db/embedded.ts'
import { newSigningSecret } from '../../src/security/signature.ts'
import { makeControl } from './control.ts'
import { makeTemplates } from './databases.ts'
import type { Options } from './options.ts'
import type { Fact, Stage } from './part.ts'
import { startChild } from './processes.ts'

/** Of the deliveries of a measurement: it is measured before and after each. */
const RAW_SHARE = 1 / 2

/** What a worker has in flight as shipped, and the raw ceiling too. */
export const IN_FLIGHT = parseConfig({}).WORKER_CONCURRENCY

export interface OpenStage extends AsyncDisposable {
  readonly stage: Stage
  /** Every raw ceiling that was measured. */
  readonly raws: readonly number[]
  /** The most that a worker took, in MB; null: nobody could tell. */
  readonly peakMemory: () => number | null
  readonly facts: readonly Fact[]
}

type StageOptions = Pick<Options, 'isQuick' | 'size'> & Pick<Stage, 'say' | 'signal'>

/** A Postgres and a receiver of the run's own. */
export async function openStage(options: StageOptions): Promise<OpenStage> {
  const { signal, size } = options
  await using opening = new AsyncDisposableStack()
  const dir = await mkdtemp(join(tmpdir(), 'patchbay-bench-'))
  opening.defer(() => rm(dir, { recursive: true, force: true }))
  const server = opening.use(await openEmbedded({ dir, port: 0 }))
  const receiver = opening.use(
    startChild<{ port: number }>({ script: 'scripts/bench/receiver.ts', signal }),
  )
  const receiverUrl = `http://127.0.0.1:${(await receiver.message).port}`
  const raws: number[] = []
  const memory: number[] = []
  const facts: Fact[] = []
  let names = 0
  const newName = (of: string) => {
    names += 1
    return `${of}_${names}`
  }
  const stage: Stage = {
    ...options,
    serverUrl: server.url,
    receiverUrl,
    receiverPid: receiver.pid,
    dir,
    templates: makeTemplates(server.url, newName),
    newName,
    measureRaw: async () => {
      const requests = Math.ceil(size.deliveries * RAW_SHARE)
      const perSecond = await measureRaw(receiverUrl, requests, size.warmUp, signal)
      raws.push(perSecond)
      return perSecond
    },
    noteMemory: (mb) => memory.push(mb),
    noteFact: (fact) => facts.push(fact),
  }
  const owned = opening.move()
  return {
    stage,
    raws,
    peakMemory: () => (memory.length === 0 ? null : Math.max(...memory)),
    facts,
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  }
}

/** Requests a second, signed and sent by a process that does nothing else. */
async function measureRaw(
  receiverUrl: string,
  requests: number,
  warmUp: number,
  signal: AbortSignal,
): Promise<number> {
  const control = makeControl(receiverUrl)
  const secret = newSigningSecret()
  await control.trust({ '/raw': secret })
  await control.reset()
  await using child = startChild<{ seconds: number }>({
    script: 'scripts/bench/raw.ts',
    args: [`${receiverUrl}/raw`, secret, String(requests), String(IN_FLIGHT), String(warmUp)],
    signal,
  })
  return requests / (await child.message).seconds
}
