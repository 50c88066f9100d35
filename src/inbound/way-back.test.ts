import { expect, test } from 'vitest'
import { AppError, notFound } from '../core/error.ts'
import { makeLog } from '../telemetry/log.ts'
import { makeWayBack } from './way-back.ts'

const WAY = {
  providerKey: 'slack',
  where: { channel: 'C1', thread: '17.1' },
  answer: 'channel',
}

function wayBackThat(fails: Error) {
  const wayBack = makeWayBack(
    {
      channelSubscription: () => Promise.reject(fails),
      anySubscription: async () => null,
      postTo: async () => undefined,
    },
    makeLog('silent'),
  )
  return wayBack('acme', { integrationId: 'i1', way: WAY })
}

test.each([
  ['the integration is gone', notFound('integration')],
  ['the org may have no more subscriptions', new AppError('UNPROCESSABLE', 'no room')],
])('a turn goes on without a way back where %s', async (_, error) => {
  const way = await wayBackThat(error)
  const query = () => Promise.reject(new Error('nothing is owed'))
  await way.inTurn({ query }, { eventId: 'e1', waiting: [] })
  await way.after('It ran.')
})

test('a turn is tried again where the way back is out of reach for a moment', async () => {
  await expect(wayBackThat(new AppError('UNAVAILABLE', 'in a moment'))).rejects.toMatchObject({
    code: 'UNAVAILABLE',
  })
})
