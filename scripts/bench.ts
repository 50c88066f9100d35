import { readFile, writeFile } from 'node:fs/promises'
import { BODY_BYTES } from './bench/body.ts'
import { describeMachine, measureLoad } from './bench/machine.ts'
import { OptionError, type Options, parseOptions } from './bench/options.ts'
import type { Part, Result } from './bench/part.ts'
import { apiPart } from './bench/parts/api.ts'
import { backlogPart } from './bench/parts/backlog.ts'
import { emitPart } from './bench/parts/emit.ts'
import { fanOutPart } from './bench/parts/fan-out.ts'
import { hangingPart } from './bench/parts/hanging.ts'
import { historyPart } from './bench/parts/history.ts'
import { idlePart } from './bench/parts/idle.ts'
import { makeLanesPart } from './bench/parts/lanes.ts'
import { latencyPart } from './bench/parts/latency.ts'
import { pgBossPart } from './bench/parts/pg-boss.ts'
import { plansPart } from './bench/parts/plans.ts'
import { statementsPart } from './bench/parts/statements.ts'
import { toolPart } from './bench/parts/tool.ts'
import { twoWorkersPart } from './bench/parts/two-workers.ts'
import {
  compare,
  doubtsOf,
  formatFacts,
  formatLines,
  isCountOfWrongs,
  type Line,
  type Report,
  sumUp,
  sumUpFacts,
} from './bench/report.ts'
import { IN_FLIGHT, type OpenStage, openStage } from './bench/stage.ts'

/**
 * `npm run bench`: how near the product comes to what this machine can send with no database at all, and whether it stays so.
 * Every ratio is of what was measured side by side, in turns: both sides share the machine, the receiver, the client and the bytes.
 *
 *   --quick          one to three minutes, for a look: judges nothing, and fails only where something is wrong
 *   --only A,B       these parts alone
 *   --repeat R       rounds, with most measured in two turns each; the middle of them (3; quick: 1)
 *   --json FILE      { machine, results: [{ name, value, unit, goal, met }], facts: [{ name, value, unit }] }
 *   --compare FILE   an earlier --json: fails where a ratio is further off than --tolerance P (10) percent
 *   --deliveries N   of a measurement (a second of them, 10000 to 40000; quick: 3000)
 *   --warm-up N      of each process, before its first measurement (as many; quick: 1000)
 *   --lanes 1,20     of the part `lanes` (1,20,2000,20000; quick: 1,20)
 *   --walls          what guard, row-level security and encryption cost together: `lanes` also without them
 *
 * Ends with 1 when a goal is missed, a part breaks, or --compare finds a ratio off.
 */
const partsOf = (options: Options): Part[] => [
  makeLanesPart(options),
  pgBossPart,
  fanOutPart,
  backlogPart,
  historyPart,
  twoWorkersPart,
  statementsPart,
  emitPart,
  latencyPart,
  idlePart,
  hangingPart,
  toolPart,
  apiPart,
  plansPart,
]

const MEMORY_GOAL_MB = 256

async function main(options: Options, signal: AbortSignal): Promise<boolean> {
  const startedAt = performance.now()
  const say = (line: string) => {
    const seconds = Math.round((performance.now() - startedAt) / 1000)
    console.log(`${String(seconds).padStart(4)} s  ${line}`)
  }
  const parts = choose(partsOf(options), options.only)
  const earlier = options.compare === undefined ? null : await readReport(options.compare)
  await using open = await openStage({ ...options, say: (line) => say(`    ${line}`), signal })
  const machine = await describeMachine(open.stage.serverUrl)
  const { repeat, isQuick } = options
  const { size } = open.stage
  console.log(
    `${machine}; database, workers and receiver share it\n` +
      `${size.deliveries} deliveries of ${BODY_BYTES} bytes a measurement, ${IN_FLIGHT} in flight, warmed up by ${size.warmUp}, ${repeat} rounds${isQuick ? '; a quick look, which judges nothing' : ''}\n`,
  )
  const { results, loads, broken } = await runParts(parts, open, repeat, say)
  const lines = [
    ...parts.flatMap((part) => conclude(part, sumUp(results.get(part) ?? []))),
    ...sumUp(memoryResult(open.peakMemory())),
  ]
  const facts = sumUpFacts(open.facts)
  console.log(`\n${formatLines(lines)}`)
  if (facts.length > 0) console.log(`\n${formatFacts(facts)}`)
  if (open.peakMemory() === null) {
    console.log('\nNo worker ran, or there is no /proc here: what one takes is not known.')
  }
  const doubts = doubtsOf(loads, open.raws)
  if (doubts.length > 0) console.log(`\nNot to be trusted: ${doubts.join('; ')}.`)
  if (broken.length > 0) console.log(`\nBroke: ${broken.join(', ')}.`)
  if (options.json !== undefined) {
    const report = {
      machine,
      isQuick,
      seconds: Math.round((performance.now() - startedAt) / 1000),
      doubts,
      broken,
      results: lines.map(({ title, bound, ...line }) => line),
      facts: facts.map(({ title, ...fact }) => fact),
    }
    await writeFile(options.json, `${JSON.stringify(report, null, 2)}\n`)
  }
  const missed = lines.filter((line) => !line.met && (!isQuick || isCountOfWrongs(line)))
  // Told also where goals are missed.
  const isAsBefore = agrees(earlier, lines, options.tolerance)
  return missed.length + broken.length === 0 && isAsBefore
}

function choose(parts: readonly Part[], only: readonly string[] | null): readonly Part[] {
  const unknown = only?.find((name) => parts.every((part) => part.name !== name))
  if (unknown !== undefined) {
    throw new OptionError(
      `--only: no part is called ${unknown}; there are ${parts.map(({ name }) => name).join(', ')}`,
    )
  }
  return only === null ? parts : parts.filter((part) => only.includes(part.name))
}

/** One after another, in rounds. A part that breaks does not keep the others from running, and is not tried again. */
async function runParts(
  parts: readonly Part[],
  { stage }: OpenStage,
  repeat: number,
  say: (line: string) => void,
) {
  const results = new Map<Part, Result[]>(parts.map((part) => [part, []]))
  const loads: number[] = []
  const broken: string[] = []
  for (let round = 1; round <= repeat; round += 1) {
    for (const part of parts) {
      if ((part.isOnce && round > 1) || broken.includes(part.name)) continue
      // A quick look judges nothing.
      if (!stage.isQuick) loads.push(await measureLoad())
      say(`${part.name}, round ${round} of ${part.isOnce ? 1 : repeat}`)
      try {
        results.get(part)?.push(...(await part.measure(stage)))
      } catch (error) {
        stage.signal.throwIfAborted()
        console.error(error)
        broken.push(part.name)
      }
    }
  }
  return { results, loads, broken }
}

function conclude(part: Part, lines: readonly Line[]): Line[] {
  return [...lines, ...sumUp(part.conclude?.(lines) ?? [])]
}

function memoryResult(peak: number | null): Result[] {
  if (peak === null) return []
  return [
    {
      name: 'worker_rss',
      title: 'memory of a worker at its highest in all of these',
      value: peak,
      unit: 'MB',
      goal: MEMORY_GOAL_MB,
      bound: 'at most',
      detail: 'VmHWM',
    },
  ]
}

function agrees(earlier: Report | null, lines: readonly Line[], tolerance: number): boolean {
  if (earlier === null) return true
  const { table, off } = compare(earlier.results, lines, tolerance)
  console.log(`\n${table}`)
  if (off.length > 0) console.log(`\nOff by over ${tolerance * 100} %: ${off.join(', ')}.`)
  return off.length === 0
}

async function readReport(file: string): Promise<Report> {
  try {
    const report: Report = JSON.parse(await readFile(file, 'utf8'))
    if (Array.isArray(report.results)) return report
  } catch (error) {
    throw new OptionError(`--compare: ${error instanceof Error ? error.message : String(error)}`)
  }
  throw new OptionError(`--compare: ${file} was not written by --json`)
}

const stopping = new AbortController()
for (const name of ['SIGINT', 'SIGTERM'] as const) {
  process.once(name, () => stopping.abort(new Error(`stopped by ${name}`)))
}
try {
  process.exitCode = (await main(parseOptions(process.argv.slice(2)), stopping.signal)) ? 0 : 1
} catch (error) {
  if (!(error instanceof OptionError)) throw error
  console.error(error.message)
  process.exitCode = 2
}
