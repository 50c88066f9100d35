import { cpus } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'

const LOOK_MS = 500

/** What the figures stand on. */
export async function describeMachine(serverUrl: string): Promise<string> {
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

/** The share of this machine's cores that is at work, 0 to 1: while we wait, that is others' work. */
export async function measureLoad(): Promise<number> {
  const before = cpuTimes()
  await sleep(LOOK_MS)
  const after = cpuTimes()
  const total = after.total - before.total
  return total === 0 ? 0 : 1 - (after.idle - before.idle) / total
}

function cpuTimes() {
  let idle = 0
  let total = 0
  for (const { times } of cpus()) {
    idle += times.idle
    total += times.user + times.nice + times.sys + times.idle + times.irq
  }
  return { idle, total }
}
