import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseConfig } from '../../src/config.ts'
import { openEmbedded } from '../../src/db/embedded.ts'
import { newSigningSecret } from '../../src/security/signature.ts'
import { makeControl } from './control.ts'
import { makeTemplates } from './databases.ts'
import type { Options } from './options.ts'
import type { Fact, Raw, Size, Stage } from './part.ts'
import { startChild } from './processes.ts'

/** Seconds that a measurement is to take about, at the half of the raw ceiling that the product comes to. There are many, in turns. */
const MEASURED_S = 1.2
const LEAST_DELIVERIES = 10_000
const MOST_DELIVERIES = 40_000
/** For a first look at the machine. */
const FIRST_LOOK: Size = { deliveries: 6000, warmUp: 3000 }

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
  const { signal } = options
  await using opening = new AsyncDisposableStack()
  const dir = await mkdtemp(join(tmpdir(), 'patchbay-bench-'))
  opening.defer(() => rm(dir, { recursive: true, force: true }))
  const server = opening.use(await openEmbedded({ dir, port: 0 }))
  const receiver = opening.use(
    startChild<{ port: number }>({ script: 'scripts/bench/receiver.ts', signal }),
  )
  const receiverUrl = `http://127.0.0.1:${(await receiver.message).port}`
  const size = await sizeFor(options.size, async () => {
    await using raw = await openRaw(receiverUrl, FIRST_LOOK, signal)
    return await raw.measure()
  })
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
    size,
    serverUrl: server.url,
    receiverUrl,
    receiverPid: receiver.pid,
    dir,
    templates: makeTemplates(server.url, newName, options.isQuick),
    newName,
    openRaw: async () => {
      const raw = await openRaw(receiverUrl, size, signal)
      return {
        ...raw,
        measure: async () => {
          const perSecond = await raw.measure()
          raws.push(perSecond)
          return perSecond
        },
      }
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

/** As many deliveries as take about a second here, so that a slow machine does not take an hour, nor a fast one half a second. */
async function sizeFor(wanted: Options['size'], look: () => Promise<number>): Promise<Size> {
  const choose = async () => {
    const thousands = Math.round(((await look()) / 2) * MEASURED_S) / 1000
    return Math.min(MOST_DELIVERIES, Math.max(LEAST_DELIVERIES, Math.round(thousands) * 1000))
  }
  const deliveries = wanted.deliveries ?? (await choose())
  return { deliveries, warmUp: wanted.warmUp ?? deliveries }
}

/** Warm, in a process that does nothing else. */
async function openRaw(
  receiverUrl: string,
  { deliveries, warmUp }: Size,
  signal: AbortSignal,
): Promise<Raw> {
  await using opening = new AsyncDisposableStack()
  const control = makeControl(receiverUrl)
  const secret = newSigningSecret()
  const child = opening.use(
    startChild<{ seconds: number }>({
      script: 'scripts/bench/raw.ts',
      args: [`${receiverUrl}/raw`, secret, String(IN_FLIGHT)],
      signal,
    }),
  )
  const send = async (requests: number) => {
    await control.trust({ '/raw': secret })
    await control.reset()
    return requests / (await child.ask(requests)).seconds
  }
  await send(warmUp)
  const owned = opening.move()
  return { measure: () => send(deliveries), [Symbol.asyncDispose]: () => owned.disposeAsync() }
}
