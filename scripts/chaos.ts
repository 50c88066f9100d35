import { writeFile } from 'node:fs/promises'
import { parseArgs } from 'node:util'
import { openCluster } from '../test/chaos/cluster.ts'
import type { Fault, Size } from '../test/chaos/fault.ts'
import { FAULTS } from '../test/chaos/faults/all.ts'
import { runFault, type Verdict } from '../test/chaos/run-fault.ts'
import { formatTable } from './table.ts'

/**
 * `npm run chaos`: injects real faults into real processes and a real Postgres, one after the other, and holds what was
 * promised against what arrived.
 *
 *   --only F01,F06   some of them        --seed N      of every dice (a random one, which is printed)
 *   --json FILE      { seed, results }   --size short  seconds for each, as in `npm test` (full)
 *
 * Ends with 1 when an invariant is broken. A fault that this machine cannot inject says why.
 */
interface Options {
  readonly faults: readonly Fault[]
  readonly seed: number
  readonly size: Size
  readonly json: string | undefined
}

interface Result {
  readonly fault: Fault
  readonly verdict: Verdict
}

function parseOptions(): Options {
  const { values } = parseArgs({
    options: {
      only: { type: 'string' },
      seed: { type: 'string' },
      size: { type: 'string', default: 'full' },
      json: { type: 'string' },
    },
  })
  const seed = values.seed === undefined ? Math.floor(Math.random() * 1e6) : Number(values.seed)
  if (!Number.isSafeInteger(seed)) throw new Error(`${values.seed} is not a seed`)
  if (values.size !== 'short' && values.size !== 'full') throw new Error('--size is short or full')
  return { faults: chooseFaults(values.only), seed, size: values.size, json: values.json }
}

/** A fault that stands for several has all of their ids. */
function chooseFaults(only: string | undefined): readonly Fault[] {
  if (only === undefined) return FAULTS
  return only.split(',').map((id) => {
    const fault = FAULTS.find((one) => one.id.split('+').includes(id))
    if (fault === undefined) throw new Error(`there is no fault ${id}`)
    return fault
  })
}

async function main({ faults, seed, size, json }: Options): Promise<boolean> {
  console.log(`seed ${seed}: the same faults again with --seed ${seed}\n`)
  const results: Result[] = []
  {
    await using cluster = await openCluster()
    for (const fault of new Set(faults)) {
      const startedAtMs = performance.now()
      const verdict = await runFault(fault, cluster, seed, size)
      const seconds = ((performance.now() - startedAtMs) / 1000).toFixed(0)
      console.log(`${fault.id} ${fault.name}: ${verdict.kind} (${seconds} s)`)
      results.push({ fault, verdict })
    }
  }
  console.log(`\n${describe(results)}`)
  if (json !== undefined) await writeFile(json, toJson(seed, results))
  return results.every(({ verdict }) => verdict.kind !== 'broken')
}

function describe(results: readonly Result[]): string {
  const header = [
    '',
    'fault',
    'emitted',
    'delivered',
    'lost',
    'copies',
    '≤',
    'recovered',
    'verdict',
  ]
  const rows = results.map(({ fault: { id, name }, verdict }) => {
    if (verdict.kind === 'impossible') return [id, name, '', '', '', '', '', '', 'not run']
    const { report } = verdict
    if (report === null) return [id, name, '', '', '', '', '', '', 'BROKEN']
    return [
      id,
      name,
      String(report.emitted),
      String(report.delivered),
      String(report.lost),
      String(report.duplicates),
      String(report.maxDuplicates),
      `${(report.recoveryMs / 1000).toFixed(1)} s`,
      verdict.kind === 'held' ? 'held' : 'BROKEN',
    ]
  })
  return [formatTable(header, rows), ...results.flatMap(remarks)].join('\n')
}

function remarks({ fault, verdict }: Result): string[] {
  if (verdict.kind === 'impossible') return [`${fault.id} was not run: ${verdict.reason}`]
  const notes = verdict.report?.notes ?? []
  const lines = verdict.kind === 'broken' ? verdict.problems : []
  return [
    ...notes.map((note) => `${fault.id}: ${note}`),
    ...lines.map((line) => `${fault.id} BROKEN: ${line}`),
  ]
}

function toJson(seed: number, results: readonly Result[]): string {
  const plain = results.map(({ fault: { id, name }, verdict }) => ({ id, name, ...verdict }))
  return `${JSON.stringify({ seed, results: plain }, null, 2)}\n`
}

process.exitCode = (await main(parseOptions())) ? 0 : 1
