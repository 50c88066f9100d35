import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { cpus, tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import pg from 'pg'
import { parseConfig } from '../src/config.ts'
import { openEmbedded } from '../src/db/embedded.ts'
import { newSigningSecret } from '../src/security/signature.ts'
import { BODY_BYTES } from './bench/body.ts'
import { makeControl } from './bench/control.ts'
import { type Measured, measureEndToEnd } from './bench/end-to-end.ts'
import { startChild } from './bench/processes.ts'
import { formatTable } from './table.ts'

/**
 * `npm run bench`: how near the product comes to what this machine can send with no database at all. Every ratio is within
 * one run: raw ceiling and product share the machine, the receiver, the client and the bytes.
 *
 *   --deliveries N   of each part (20000)     --lanes 1,20,2000   one part for each
 *   --repeat R       rounds; medians (1)      --json FILE         { machine, results: [{ name, value, goal, met }] }
 *
 * Ends with 1 when a goal is missed.
 */
const GOAL = 0.35
const WARM_UP = 1000
const IN_FLIGHT = parseConfig({}).WORKER_CONCURRENCY

interface Options {
  readonly deliveries: number
  readonly lanes: readonly number[]
  readonly repeat: number
  readonly json: string | undefined
}

interface Round {
  readonly raw: number
  /** In the order of the lane counts. */
  readonly parts: readonly Measured[]
}

interface Result {
  readonly name: string
  readonly value: number
  readonly goal: number
  readonly met: boolean
}

function parseOptions(): Options {
  const { values } = parseArgs({
    options: {
      deliveries: { type: 'string', default: '20000' },
      lanes: { type: 'string', default: '1,20,2000' },
      repeat: { type: 'string', default: '1' },
      json: { type: 'string' },
    },
  })
  const positive = (text: string) => {
    const number = Number(text)
    if (Number.isInteger(number) && number > 0) return number
    throw new Error(`${text} is not a number of things to measure`)
  }
  return {
    deliveries: positive(values.deliveries),
    lanes: values.lanes.split(',').map(positive),
    repeat: positive(values.repeat),
    json: values.json,
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
  console.log(
    `${machine}\n${options.deliveries} deliveries of ${BODY_BYTES} bytes a part, ${IN_FLIGHT} in flight; ` +
      `database, worker and receiver on this machine${options.repeat > 1 ? `; medians of ${options.repeat}` : ''}\n`,
  )
  const rounds: Round[] = []
  for (let nth = 0; nth < options.repeat; nth += 1) {
    const raw = await measureRaw(receiverUrl, options.deliveries, signal)
    const parts: Measured[] = []
    for (const lanes of options.lanes) {
      const name = `bench_${nth}_${lanes}`
      parts.push(
        await measureEndToEnd({
          serverUrl: server.url,
          receiverUrl,
          name,
          lanes,
          deliveries: options.deliveries,
          warmUp: WARM_UP,
          logFile: join(dir, `${name}.log`),
          signal,
        }),
      )
    }
    rounds.push({ raw, parts })
  }
  return await report(options, machine, rounds)
}

/** Requests a second, signed and sent by a process that does nothing else. */
async function measureRaw(receiverUrl: string, requests: number, signal: AbortSignal) {
  const control = makeControl(receiverUrl)
  const secret = newSigningSecret()
  await control.trust({ '/raw': secret })
  await control.reset()
  await using child = startChild<{ seconds: number }>({
    script: 'scripts/bench/raw.ts',
    args: [`${receiverUrl}/raw`, secret, String(requests), String(IN_FLIGHT), String(WARM_UP)],
    signal,
  })
  return requests / (await child.message).seconds
}

async function report(options: Options, machine: string, rounds: readonly Round[]) {
  const ceiling = median(rounds.map((round) => round.raw))
  const results: Result[] = []
  const rows = [['raw: sign and POST, no database', ceiling.toFixed(0), '1.00', '', '', '', '', '']]
  for (const [nth, lanes] of options.lanes.entries()) {
    const runs = rounds.flatMap((round) => round.parts[nth] ?? [])
    const perSecond = median(runs.map((run) => run.perSecond))
    const ratio = perSecond / ceiling
    const sum = (pick: (run: Measured) => number) => runs.reduce((all, run) => all + pick(run), 0)
    const received = sum((run) => run.counts.received)
    const twice = sum((run) => run.counts.twice)
    const verified = sum((run) => run.counts.verified)
    const forged = sum((run) => run.counts.forged)
    const recorded = sum((run) => run.recorded)
    const expected = options.deliveries * runs.length
    const wrong =
      Math.abs(expected - (received - twice)) + twice + forged + Math.abs(expected - recorded)
    const isFast = ratio >= GOAL
    results.push(
      { name: `ratio_${lanes}_lanes`, value: ratio, goal: GOAL, met: isFast },
      { name: `wrong_${lanes}_lanes`, value: wrong, goal: 0, met: wrong === 0 },
    )
    rows.push([
      `end to end, ${lanes} ${lanes === 1 ? 'lane' : 'lanes'}`,
      perSecond.toFixed(0),
      ratio.toFixed(2),
      `≥ ${GOAL.toFixed(2)}, 0 wrong: ${isFast && wrong === 0 ? 'met' : 'MISSED'}`,
      `${received}`,
      `${twice}`,
      `${verified} of ${verified + forged}`,
      `${recorded}`,
    ])
  }
  const header = ['', 'per second', 'ratio', 'goal', 'received', 'twice', 'verified', 'recorded']
  console.log(formatTable(header, rows))
  if (options.json !== undefined) {
    await writeFile(options.json, `${JSON.stringify({ machine, results }, null, 2)}\n`)
  }
  return results.every((result) => result.met)
}

async function describeMachine(serverUrl: string): Promise<string> {
  const client = new pg.Client(serverUrl)
  await client.connect()
  try {
    const { rows } = await client.query<{ server_version: string }>('show server_version')
    const cores = cpus()
    return `${cores.length} × ${cores[0]?.model ?? 'unknown'}, Node ${process.versions.node}, Postgres ${rows[0]?.server_version}`
  } finally {
    await client.end()
  }
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  const upper = sorted[Math.floor(sorted.length / 2)] ?? 0
  const lower = sorted[Math.floor((sorted.length - 1) / 2)] ?? 0
  return (lower + upper) / 2
}

const stopping = new AbortController()
for (const name of ['SIGINT', 'SIGTERM'] as const) {
  process.once(name, () => stopping.abort(new Error(`stopped by ${name}`)))
}
process.exitCode = (await main(parseOptions(), stopping.signal)) ? 0 : 1
