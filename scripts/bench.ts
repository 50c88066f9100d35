import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { cpus, tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { openEmbedded } from '../src/db/embedded.ts'
import { measureEndToEnd } from './bench/end-to-end.ts'
import { startChild } from './bench/processes.ts'
import { formatTable } from './table.ts'

/**
 * `npm run bench`: how near the product comes to what this machine can send with no database at all. Every figure is a ratio
 * within this run: raw ceiling and product share the receiver, the client and the bytes.
 *
 *   --deliveries N   per part (20000)    --lanes 1,20,2000    --repeat N, medians (1)    --json FILE
 */
const GOAL = 0.35
const IN_FLIGHT = 512
const BODY_BYTES = 1024

const { values: options } = parseArgs({
  options: {
    deliveries: { type: 'string', default: '20000' },
    lanes: { type: 'string', default: '1,20,2000' },
    repeat: { type: 'string', default: '1' },
    json: { type: 'string' },
  },
})
const deliveries = Number(options.deliveries)
const repeats = Number(options.repeat)

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.floor(sorted.length / 2)] ?? 0
}

async function main(): Promise<boolean> {
  await using stack = new AsyncDisposableStack()
  const dir = await mkdtemp(join(tmpdir(), 'patchbay-bench-'))
  stack.defer(() => rm(dir, { recursive: true, force: true }))
  const server = stack.use(await openEmbedded({ dir, port: 0 }))
  const receiver = stack.use(startChild<{ port: number }>('scripts/bench/receiver.ts', []))
  const receiverUrl = `http://127.0.0.1:${(await receiver.message).port}`
  const machine = `${cpus()[0]?.model ?? 'unknown'} × ${cpus().length}, Node ${process.versions.node}, Postgres 18 embedded`
  console.log(
    `${machine}\n${deliveries} deliveries a part, ${BODY_BYTES} bytes, ${IN_FLIGHT} in flight, everything on this machine\n`,
  )

  const raw = []
  for (let i = 0; i < repeats; i += 1) raw.push(await measureRaw(receiverUrl))
  const ceiling = median(raw)
  const rows: string[][] = [['raw: sign and POST, no database', ceiling.toFixed(0), '1.00', '', '']]
  const results = []
  for (const lanes of options.lanes.split(',').map(Number)) {
    const runs = []
    for (let i = 0; i < repeats; i += 1) {
      const logFile = join(dir, 'worker.log')
      runs.push(
        await measureEndToEnd({
          serverUrl: server.url,
          receiverUrl,
          lanes,
          deliveries,
          bodyBytes: BODY_BYTES,
          logFile,
        }),
      )
    }
    const perSecond = median(runs.map((run) => run.perSecond))
    const ratio = perSecond / ceiling
    const wrong = runs.reduce((sum, run) => sum + run.missing + run.unverified, 0)
    const duplicates = runs.reduce((sum, run) => sum + run.duplicates, 0)
    const met = ratio >= GOAL && wrong === 0
    rows.push([
      `end to end, ${lanes} ${lanes === 1 ? 'lane' : 'lanes'}`,
      perSecond.toFixed(0),
      ratio.toFixed(2),
      `≥ ${GOAL.toFixed(2)} ${met ? '✓' : '✗'}`,
      `${wrong} missing or unverified, ${duplicates} twice`,
    ])
    results.push({ name: `ratio_${lanes}_lanes`, value: ratio, goal: GOAL, met })
  }
  console.log(formatTable(['', 'per second', 'ratio', 'goal', 'at the receiver'], rows))
  if (options.json !== undefined) {
    await writeFile(options.json, `${JSON.stringify({ machine, results }, null, 2)}\n`)
  }
  return results.every((result) => result.met)
}

async function measureRaw(receiverUrl: string): Promise<number> {
  await fetch(`${receiverUrl}/control/reset`, { method: 'POST', body: '{}' })
  await using child = startChild<{ seconds: number }>('scripts/bench/raw.ts', [
    `${receiverUrl}/raw`,
    String(deliveries),
    String(IN_FLIGHT),
    String(BODY_BYTES),
  ])
  return deliveries / (await child.message).seconds
}

process.exitCode = (await main()) ? 0 : 1
