import { PassThrough } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, expect, test } from 'vitest'
import { openTestDatabase } from '../../test/fixtures/database.ts'
import { until } from '../../test/fixtures/process.ts'
import { makeLog } from '../telemetry/log.ts'
import { openJobs } from './jobs.ts'

const stack = new AsyncDisposableStack()
afterAll(() => stack.disposeAsync())
const database = stack.use(await openTestDatabase())
const lines = new PassThrough()
const jobs = stack.use(await openJobs({ url: database.url, log: makeLog('warn', lines) }))

test('a question that waits for its turn has one job, however often it is asked for', async () => {
  for (const id of ['a', 'b', 'a', 'a']) await jobs.answer(id)
  const { rows } = await database.pool.query(
    `select data ->> 'id' as id from pgboss.job where name = 'answer' and state = 'created' order by 1`,
  )
  expect(rows).toEqual([{ id: 'a' }, { id: 'b' }])
})

test('many questions at once are answered one after the other, with no rest while there are more', async () => {
  const answered = new Set<string>()
  await jobs.workAnswers(async (id) => {
    await sleep(50)
    if (id === 'b') throw new Error('no keyring')
    answered.add(id)
  })
  await jobs.answer('b')
  await until('what breaks is in the log', () => String(lines.read() ?? '').includes('no keyring'))
  const { rows } = await database.pool.query(
    `select from pgboss.job where name = 'answer' and output::text like '%no keyring%'`,
  )
  expect(rows).toEqual([])
  const ids = Array.from({ length: 100 }, (_, index) => `question-${index}`)
  await Promise.all(ids.map(jobs.answer))
  await until('all are answered', () => ids.every((id) => answered.has(id)))
})

test('the tools of a server are read by a worker, once for all who ask while they wait', async () => {
  for (const id of ['one', 'two', 'one']) await jobs.readTools('acme', id)
  const read: string[] = []
  await jobs.workToolReadings(async (orgId, id) => {
    read.push(`${orgId} ${id}`)
  })
  await until('both are read', () => read.length >= 2)
  expect(read.toSorted()).toEqual(['acme one', 'acme two'])
})
