import { adminHeaders, openClient } from '../api-client.ts'
import { ORG } from '../body.ts'
import { openDatabase } from '../databases.ts'
import type { Part, Result, Stage } from '../part.ts'
import { startChild } from '../processes.ts'
import { median } from '../quantile.ts'
import { startProduct } from '../workers.ts'

const TOOL_MS = 50
const ARGS = { project: 'bench', title: 'Something is wrong', labels: ['one', 'two'] }

/** What the product adds to a tool's own time: both ways to it in turns, by the same client, one at a time. */
export const toolPart: Part = {
  name: 'tool',
  isOnce: true,
  measure: async (stage: Stage): Promise<Result[]> => {
    const runs = stage.isQuick ? 20 : 200
    await using stack = new AsyncDisposableStack()
    const endpoint = stack.use(
      startChild<{ ports: readonly number[] }>({
        script: 'scripts/bench/children/slow-endpoint.ts',
        args: [String(TOOL_MS)],
        signal: stage.signal,
      }),
    )
    const endpointUrl = `http://127.0.0.1:${(await endpoint.message).ports[0]}`
    const database = stack.use(await openDatabase(stage, 'tool'))
    await database.pool.query('insert into patchbay.orgs (id, name) values ($1, $1)', [ORG])
    const api = stack.use(await startProduct('api', stage, database))
    const through = stack.use(openClient(api.url ?? '', await adminHeaders(database)))
    const direct = stack.use(openClient(endpointUrl))
    const integration = JSON.parse(
      await through.send(
        'POST',
        `/orgs/${ORG}/integrations`,
        JSON.stringify({ providerKey: 'generic-webhook', name: 'bench' }),
      ),
    )
    await through.send(
      'POST',
      `/orgs/${ORG}/integrations/${integration.integration.id}/tools`,
      JSON.stringify({
        name: 'bench.wait',
        description: 'Takes its time.',
        argsSchema: {
          type: 'object',
          properties: {
            project: { type: 'string' },
            title: { type: 'string' },
            labels: { type: 'array', items: { type: 'string' } },
          },
          required: ['project', 'title'],
        },
        httpConfig: { method: 'POST', url: `${endpointUrl}/wait` },
      }),
    )
    const args = JSON.stringify({ args: ARGS })
    const run = () => through.send('POST', `/orgs/${ORG}/tools/bench.wait/execute`, args)
    const call = () => direct.send('POST', '/wait', args)
    const throughMs: number[] = []
    const directMs: number[] = []
    for (let n = -5; n < runs; n += 1) {
      const direct = await timeOf(call)
      const through = await timeOf(run)
      // The first ones warm both up.
      if (n < 0) continue
      directMs.push(direct)
      throughMs.push(through)
    }
    return [
      {
        name: 'tool_overhead_p50',
        title: `a tool run ÷ a call of its endpoint of ${TOOL_MS} ms, p50`,
        value: median(throughMs) / median(directMs),
        unit: '',
        goal: 1.1,
        bound: 'at most',
        detail: `${median(throughMs).toFixed(1)} and ${median(directMs).toFixed(1)} ms, ${runs} runs`,
      },
    ]
  },
}

async function timeOf(work: () => Promise<unknown>): Promise<number> {
  const startedAt = performance.now()
  await work()
  return performance.now() - startedAt
}
