import { randomBytes } from 'node:crypto'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { actor } from '../../test/fixtures/actor.ts'
import { openTestDatabase, type TestDatabase } from '../../test/fixtures/database.ts'
import { subscribe } from '../../test/fixtures/subscription.ts'
import { makeChannels } from './channels.ts'

const CHANNEL_URL = 'https://slack.com/api/chat.postMessage?channel=C1'
const masterKey = randomBytes(32).toString('base64')

let database: TestDatabase
let orgId: string
let made: (readonly string[])[]
let channels: ReturnType<typeof makeChannels>

beforeAll(async () => {
  database = await openTestDatabase()
})
afterAll(() => database[Symbol.asyncDispose]())
beforeEach(async () => {
  orgId = await database.addOrg()
  made = []
  channels = makeChannels({
    inOrg: database.inOrg,
    create: async (_orgId, _integrationId, { eventTypes }) => {
      made.push(eventTypes)
      return { webhook: { id: 'made' } }
    },
  })
})

/** A subscription of somebody's own, and its integration. */
async function subscribed(content: 'thin' | 'full') {
  const input = { url: CHANNEL_URL, eventTypes: ['chat.*'], content }
  const { webhookId } = await subscribe(database, masterKey, orgId, input)
  const { rows } = await database.pool.query<{ id: string }>(
    'select integration_id as id from patchbay.webhook_subscriptions where id = $1',
    [webhookId],
  )
  return { webhookId, integrationId: rows[0]?.id ?? '' }
}

const ensure = (integrationId: string, eventTypes?: string[]) =>
  channels.ensure(orgId, integrationId, { url: CHANNEL_URL, description: '' }, actor(), eventTypes)

test('answers go by the subscription that posts to the channel already', async () => {
  const { webhookId, integrationId } = await subscribed('full')
  expect(await ensure(integrationId)).toBe(webhookId)
  expect(await channels.any(orgId, integrationId)).toBe(webhookId)
  expect(made).toEqual([])
})

test('answers do not go by one that may not have the text: one for answers alone is made', async () => {
  const { integrationId } = await subscribed('thin')
  expect(await ensure(integrationId)).toBe('made')
  expect(await channels.any(orgId, integrationId)).toBe(null)
  expect(made).toEqual([[]])
})

test('an install that comes again makes no second subscription, whatever became of the first', async () => {
  const { webhookId, integrationId } = await subscribed('thin')
  expect(await ensure(integrationId, ['chat.turn.completed'])).toBe(webhookId)
  expect(made).toEqual([])
})
