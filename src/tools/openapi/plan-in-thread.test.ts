import { expect, test } from 'vitest'
import { document } from '../../../test/fixtures/openapi-plan.ts'
import { makePlanInThread } from './plan-in-thread.ts'

const OPTIONS = { baseUrl: null, credentials: [], integrationPath: '/orgs/acme/integrations/1' }

test('a plan comes out of the thread as it is made there', async () => {
  const plan = await makePlanInThread({ timeoutMs: 20_000 })(
    document({ '/a': { get: {} } }),
    OPTIONS,
  )
  expect(plan).toMatchObject({
    kind: 'plan',
    title: 'Pets',
    verdicts: [{ kind: 'tool', operation: 'GET /a' }],
  })
}, 30_000)

test('a document that takes too long is given up, and the process goes on', async () => {
  const planInThread = makePlanInThread({ timeoutMs: 20 })
  expect(await planInThread(document({}), OPTIONS)).toEqual({
    kind: 'refused',
    message: 'takes too long to read',
  })
})

test('a document that is none is refused', async () => {
  const plan = await makePlanInThread({ timeoutMs: 20_000 })('nothing', OPTIONS)
  expect(plan).toEqual({ kind: 'refused', message: expect.stringContaining('no OpenAPI document') })
}, 30_000)
