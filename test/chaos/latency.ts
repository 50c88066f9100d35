import type { Bench } from './bench.ts'

/** From the producer's commit to the first arrival at one path, by percentile. */
export async function readLatency(bench: Bench, path: string): Promise<(share: number) => number> {
  const first = new Map<string, number>()
  for (const copy of await bench.receiver.read()) {
    if (copy.path === path && !first.has(copy.id)) first.set(copy.id, copy.at)
  }
  const latencies = (await bench.readProduced())
    .flatMap((event) => {
      const at = first.get(event.id)
      return event.outcome === 'committed' && at !== undefined ? [at - event.at] : []
    })
    .sort((a, b) => a - b)
  return (share) => Math.max(0, latencies[Math.ceil(latencies.length * share) - 1] ?? 0)
}
