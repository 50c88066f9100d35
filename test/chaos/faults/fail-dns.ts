import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { pathToFileURL } from 'node:url'
import { audit } from '../audit.ts'
import type { Bench } from '../bench.ts'
import { type DnsAnswer, openDnsServer } from '../dns-server.ts'
import type { Fault } from '../fault.ts'
import { readLatency } from '../latency.ts'
import { startLoad } from '../load.ts'

const DEAD_NAMES = 60
const HEALTHY_PATH = '/ok/by-name'
const MAX_P99_MS = 1500
const DEAD_ANSWERS: readonly DnsAnswer[] = ['silence', 'silence', 'NXDOMAIN', 'SERVFAIL']

/** Sixty names that a name server never answers, denies or cannot find, beside one that is fine. */
export const failDns: Fault = {
  id: 'F37+F38',
  name: 'names that do not resolve',
  run: async (bench, size) => {
    await using dns = await openDnsServer((name) => {
      const number = /^dead-(\d+)\.patchbay-chaos\.com$/.exec(name)?.[1]
      if (number !== undefined)
        return DEAD_ANSWERS[Number(number) % DEAD_ANSWERS.length] ?? 'silence'
      return name === 'fine.patchbay-chaos.com' ? '127.0.0.1' : 'NXDOMAIN'
    })
    const { port } = new URL(bench.receiver.url)
    await bench.subscribe(HEALTHY_PATH, { host: `fine.patchbay-chaos.com:${port}` })
    const dead: string[] = []
    for (let n = 0; n < DEAD_NAMES; n += 1) {
      const url = `http://dead-${n}.patchbay-chaos.com:8080/hook`
      dead.push(await bench.subscribe('', { url, retrySchedule: Array(20).fill(1) }))
    }
    const preload = pathToFileURL(join(import.meta.dirname, '../preloads/use-dns-server.ts')).href
    await bench.startWorker({
      NODE_OPTIONS: `--import ${preload}`,
      CHAOS_DNS: dns.address,
      // The defaults: an attempt outlasts the resolver, and there are slots for all names at once.
      LEASE_SECONDS: '30',
      WORKER_CONCURRENCY: '512',
    })
    const load = startLoad(bench, { perSecond: 4 })
    // The names fail beside it for a while.
    await sleep(size === 'full' ? 20_000 : 8000)
    await load.stop()
    const endedAtMs = performance.now()
    const problems = await deadProblems(bench, dead)
    const report = await audit(bench, { endedAtMs, maxDuplicates: 0, problems })
    const p99 = (await readLatency(bench, HEALTHY_PATH))(0.99)
    const late = p99 > MAX_P99_MS ? [`p99 of the healthy name is ${p99} ms`] : []
    return {
      ...report,
      problems: [...report.problems, ...late],
      notes: [`${DEAD_NAMES} dead names; p99 of the healthy one ${p99} ms`],
    }
  },
}

/** Every dead name was tried, and the log says what is wrong with it. */
async function deadProblems({ database }: Bench, ids: readonly string[]): Promise<string[]> {
  const { rows } = await database.pool.query<{ subscription_id: string; line: string }>(
    `select distinct subscription_id, concat(outcome, ': ', regexp_replace(error, 'dead-\\d+', 'dead')) as line
     from patchbay.webhook_delivery_log where subscription_id = any ($1::uuid[])`,
    [ids],
  )
  const problems = [...new Set(rows.map((row) => row.line))]
    .filter((line) => line !== 'failed: dead.patchbay-chaos.com could not be resolved')
    .map((line) => `a dead name is logged as ${line}`)
  const tried = new Set(rows.map((row) => row.subscription_id)).size
  if (tried < ids.length) problems.push(`${ids.length - tried} dead names were never tried`)
  return problems
}
