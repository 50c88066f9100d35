import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { parseConfig } from '../src/config.ts'
import { openEmbedded } from '../src/db/embedded.ts'
import { newSigningSecret } from '../src/security/signature.ts'
import { BODY_BYTES } from './bench/body.ts'
import { makeControl } from './bench/control.ts'
import { measureEndToEnd } from './bench/end-to-end.ts'
import { describeMachine, measureLoad } from './bench/machine.ts'
import { startChild } from './bench/processes.ts'
import { makeReport, type Part } from './bench/report.ts'

/**
 * `npm run bench`: how near the product comes to what this machine can send with no database at all. Every ratio is within
 * one run: raw ceiling and product share the machine, the receiver, the client and the bytes.
 *
 *   --deliveries N   of each part (20000)     --lanes 1,20,2000   one part for each
 *   --repeat R       rounds; medians (1)      --warm-up N         before each part, and before each raw ceiling (1000)
 *   --json FILE      { machine, results: [{ name, value, goal, met }] }
 *   --walls          what guard, row-level security and encryption cost together: each part also without them, in turns
 *
 * Ends with 1 when a goal is missed.
 */
const IN_FLIGHT = parseConfig({}).WORKER_CONCURRENCY

interface Options {
  readonly deliveries: number
  readonly lanes: readonly number[]
  readonly repeat: number
  readonly warmUp: number
  readonly json: string | undefined
  readonly walls: boolean
}

function parseOptions(): Options {
  const { values } = parseArgs({
    options: {
      deliveries: { type: 'string', default: '20000' },
      lanes: { type: 'string', default: '1,20,2000' },
      repeat: { type: 'string', default: '1' },
      'warm-up': { type: 'string', default: '1000' },
      json: { type: 'string' },
      walls: { type: 'boolean', default: false },
    },
  })
  const positive = (text: string) => {
    const number = Number(text)
    if (Number.isInteger(number) && number > 0) return number
    throw new Error(`${text} is not a whole number over 0`)
  }
  return {
    deliveries: positive(values.deliveries),
    lanes: values.lanes.split(',').map(positive),
    repeat: positive(values.repeat),
    warmUp: positive(values['warm-up']),
    json: values.json,
    walls: values.walls,
  }
}

async function main(options: Options, signal: AbortSignal): Promise<boolean> {
  await using stack = new AsyncDisposableStack()
  const dir = await mkdtemp(join(tmpdir(), 'patchbay-bench-'))
  stack.defer(() => rm(dir, { recursive: true, force: true }))
  const server = stack.use(await openEmbedded({ dir, port: 0 }))
  const receiver = stack.use(
    startChild<{ port: number }>({ script: 'scripts/bench/receiver.ts', signal }),
  )
  const receiverUrl = `http://127.0.0.1:${(await receiver.message).port}`
  const machine = await describeMachine(server.url)
  const { deliveries, lanes: laneCounts, repeat, warmUp } = options
  console.log(
    `${machine}; database, worker and receiver share it\n` +
      `${deliveries} deliveries of ${BODY_BYTES} bytes a part, ${IN_FLIGHT} in flight, warmed up by ${warmUp}, medians of ${repeat}\n`,
  )
  const parts: Part[] = []
  for (let round = 1; round <= repeat; round += 1) {
    for (const lanes of laneCounts) {
      const name = `bench_${round}_${lanes}`
      const load = await measureLoad()
      const raw = await measureRaw(receiverUrl, options, signal)
      const run = { serverUrl: server.url, receiverUrl, lanes, deliveries, warmUp, signal }
      const measure = (isBare: boolean) => {
        const database = isBare ? `${name}_bare` : name
        const logFile = join(dir, `${database}.log`)
        return measureEndToEnd({ ...run, name: database, logFile, isBare })
      }
      // In turns, so that a machine that gets slower or faster meanwhile favours neither.
      const isBareFirst = options.walls && round % 2 === 0
      const before = isBareFirst ? await measure(true) : null
      const measured = await measure(false)
      const bare = options.walls ? (before ?? (await measure(true))) : null
      parts.push({ lanes, deliveries, raw, load, measured, bare })
    }
  }
  const { table, results, doubts } = makeReport(parts)
  console.log(table)
  if (doubts.length > 0) console.log(`\nNot to be trusted: ${doubts.join('; ')}.`)
  if (options.json !== undefined) {
    await writeFile(options.json, `${JSON.stringify({ machine, results }, null, 2)}\n`)
  }
  return results.every((result) => result.met)
}

/** Requests a second, signed and sent by a process that does nothing else. */
async function measureRaw(receiverUrl: string, options: Options, signal: AbortSignal) {
  const { deliveries, warmUp } = options
  const control = makeControl(receiverUrl)
  const secret = newSigningSecret()
  await control.trust({ '/raw': secret })
  await control.reset()
  await using child = startChild<{ seconds: number }>({
    script: 'scripts/bench/raw.ts',
    args: [`${receiverUrl}/raw`, secret, String(deliveries), String(IN_FLIGHT), String(warmUp)],
    signal,
  })
  return deliveries / (await child.message).seconds
}

const stopping = new AbortController()
for (const name of ['SIGINT', 'SIGTERM'] as const) {
  process.once(name, () => stopping.abort(new Error(`stopped by ${name}`)))
}
process.exitCode = (await main(parseOptions(), stopping.signal)) ? 0 : 1
