import { readFile, writeFile } from 'node:fs/promises'

/** Forgets the peak of the past: a process that starts takes more than it needs later. Returns what it has now. */
export async function resetPeak(pid: number): Promise<number> {
  await writeFile(`/proc/${pid}/clear_refs`, '5')
  return peakMegabytes(pid)
}

/** The most memory that a process had resident since then. */
export async function peakMegabytes(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8')
  return Math.round(Number(/VmHWM:\s+(\d+) kB/.exec(status)?.[1] ?? 0) / 1024)
}
