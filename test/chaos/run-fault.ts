import { openBench } from './bench.ts'
import type { Cluster } from './cluster.ts'
import type { Fault, Report, Size } from './fault.ts'

export type Verdict =
  | { readonly kind: 'held'; readonly report: Report }
  | {
      readonly kind: 'broken'
      readonly report: Report | null
      readonly problems: readonly string[]
    }
  | { readonly kind: 'impossible'; readonly reason: string }

/** Injects one fault on a bench of its own. A fault that cannot be run through is broken too. */
export async function runFault(
  fault: Fault,
  cluster: Cluster,
  seed: number,
  size: Size,
): Promise<Verdict> {
  const reason = fault.obstacle?.() ?? null
  if (reason !== null) return { kind: 'impossible', reason }
  try {
    const report = await injectInto(fault, cluster, seed, size)
    const { problems } = report
    return problems.length === 0 ? { kind: 'held', report } : { kind: 'broken', report, problems }
  } catch (error) {
    const problem = error instanceof Error ? (error.stack ?? error.message) : String(error)
    return { kind: 'broken', report: null, problems: [problem] }
  }
}

async function injectInto(fault: Fault, cluster: Cluster, seed: number, size: Size) {
  if (!(await cluster.isUp())) await cluster.start()
  const name = `chaos_${fault.id.toLowerCase().replaceAll(/\W/g, '_')}_${seed}`
  const content = fault.needsEmpty === true ? 'empty' : 'migrated'
  await using bench = await openBench({ cluster, seed, name, content })
  return await fault.run(bench, size)
}
