import { setTimeout as sleep } from 'node:timers/promises'
import { audit } from '../audit.ts'
import type { Bench } from '../bench.ts'
import type { Fault } from '../fault.ts'
import { NEVER_ACCEPTED, startLoad } from '../load.ts'

/** The API is killed at any moment of a request, before its commit and after it; clients repeat the same key. */
export const killApi: Fault = {
  id: 'F03+F04',
  name: 'SIGKILL of the API under keyed POSTs',
  run: async (bench, size) => {
    await bench.subscribe('/ok/plain')
    await bench.startWorker()
    const first = await bench.startApi()
    let api = first.process
    const load = startLoad(bench, { perSecond: 120, api: first, isApiOnly: true })
    const kills = size === 'full' ? 12 : 3
    for (let kill = 0; kill < kills; kill += 1) {
      // The rhythm of the fault.
      await sleep(bench.dice.between(500, 2000))
      api.kill('SIGKILL')
      await api.exited
      api = (await bench.startApi({ PORT: new URL(first.url).port })).process
    }
    const endedAtMs = performance.now()
    // Requests go on for a while after the last kill.
    await sleep(1000)
    await load.stop()
    const problems = await doubles(bench)
    const stuck = load.answers.get(NEVER_ACCEPTED) ?? 0
    const answers = `answers: ${[...load.answers].map(([what, count]) => `${what} ${count}`).join(', ')}`
    if (stuck > 0) problems.push(`${stuck} keys were never accepted again; ${answers}`)
    return audit(bench, { endedAtMs, maxDuplicates: 0, problems, notes: [answers] })
  },
}

async function doubles({ database }: Bench): Promise<string[]> {
  const { rows } = await database.pool.query<{ key: string; count: number }>(
    `select data->>'key' as key, count(*)::int as count from patchbay.outbox_events
     where type = 'chaos.ticked' group by 1 having count(*) > 1`,
  )
  return rows.map(({ key, count }) => `${count} events for the key ${key}`)
}
