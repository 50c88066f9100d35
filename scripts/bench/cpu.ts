import { readdirSync, readFileSync } from 'node:fs'

/** Of every Linux that Node runs on. */
const TICKS_PER_SECOND = 100

interface Stat {
  readonly parent: number
  /** Seconds at work: its own, and of its children that ended and were waited for. */
  readonly own: number
  readonly ended: number
}

/** `/proc/<pid>/stat`, see proc(5); null where there is no such process, or no /proc. */
function readStat(pid: number): Stat | null {
  const text = readIfThere(`/proc/${pid}/stat`)
  if (text === null) return null
  // The second field is the program's name in brackets, which may hold blanks and brackets.
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ')
  const seconds = (field: number) => Number(fields[field]) / TICKS_PER_SECOND
  return {
    parent: Number(fields[1]),
    own: seconds(11) + seconds(12),
    ended: seconds(13) + seconds(14),
  }
}

/** Seconds that a process was at work, on any core. */
export function cpuOf(pid: number): number {
  return readStat(pid)?.own ?? 0
}

/**
 * Seconds that all processes of a Postgres server were at work. One that ends is waited for by the postmaster, which has its
 * time from then on: none is lost.
 *
 * @param backend pid of any session
 */
export function cpuOfPostgres(backend: number): number {
  const postmaster = readStat(backend)?.parent
  if (postmaster === undefined) return 0
  const stat = readStat(postmaster)
  const children = readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map((name) => readStat(Number(name)))
    .filter((child) => child?.parent === postmaster)
  return children.reduce(
    (sum, child) => sum + (child?.own ?? 0),
    (stat?.own ?? 0) + (stat?.ended ?? 0),
  )
}

/** The most memory that a process ever had, in MB; null where there is no /proc. */
export function peakMemoryOf(pid: number): number | null {
  const [, kilobytes] = /^VmHWM:\s+(\d+) kB$/m.exec(readIfThere(`/proc/${pid}/status`) ?? '') ?? []
  return kilobytes === undefined ? null : Number(kilobytes) / 1024
}

function readIfThere(file: string): string | null {
  try {
    return readFileSync(file, 'utf8')
  } catch {
    return null
  }
}
