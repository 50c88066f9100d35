import { randomUUID } from 'node:crypto'
import { afterAll, describe, expect, test } from 'vitest'
import { type ApiAnswer, addMember, openTestApi } from '../../test/fixtures/api.ts'
import {
  fill,
  type Ids,
  LAST_UUID_PARAM,
  type Operation,
  pathOf,
  readOperations,
  sample,
  UUID_PARAM,
} from '../../test/fixtures/routes.ts'
import { bodyBounds } from './body-bounds.ts'

const api = await openTestApi()
afterAll(async () => {
  await api[Symbol.asyncDispose]()
})
const mine = await api.addOrgOf('me')
const theirs = await api.addOrgOf('they')
await addMember(api.database, mine.orgId, 'watcher', 'viewer')
const viewer = await api.token('watcher')
const myIds = await fill(api, mine)
const theirIds = await fill(api, theirs)
const operations = await readOperations(api)
const withBody = operations.filter((operation) => operation.body !== null)
const ofOrg = operations.filter(
  ({ orgIn, isForSuperadmins }) => orgIn !== null && !isForSuperadmins,
)
const withIds = operations.filter(({ path }) => UUID_PARAM.test(path))

function ask(operation: Operation, token: string | undefined, ids: Ids, body?: unknown) {
  const json =
    operation.body === null ? undefined : (body ?? sample(operation.body, '', ids.orgId ?? ''))
  return api.call(operation.method, pathOf(operation, ids), { token, json })
}

function expectProblem(answer: ApiAnswer, status: number, error: string): void {
  expect({ text: answer.text, status: answer.status }).toMatchObject({ status })
  expect(answer.headers.get('content-type')).toBe('application/problem+json')
  expect(answer.body).toMatchObject({
    type: 'about:blank',
    title: expect.any(String),
    status,
    detail: expect.any(String),
    instance: expect.any(String),
    error,
    requestId: answer.headers.get('x-request-id'),
  })
}

/** What an answer tells, without what the caller knew before. */
function told({ status, body }: ApiAnswer): unknown {
  const { instance: _, requestId: __, ...rest } = body
  return { status, ...rest }
}

describe('who is asking', () => {
  test.each(operations)('$title is refused without a token', async (operation) => {
    const answer = await ask(operation, undefined, myIds)
    expectProblem(answer, 401, 'UNAUTHENTICATED')
    expect(answer.headers.get('www-authenticate')).toBe('Bearer')
  })

  test.each(operations)('$title is refused with a token that is over', async (operation) => {
    const token = await api.token('me', { expiresInS: -60 })
    expectProblem(await ask(operation, token, myIds), 401, 'UNAUTHENTICATED')
  })

  test('a token that another secret signed is refused', async () => {
    const token = await api.token('me', { secret: 'x'.repeat(32) })
    expectProblem(await api.call('GET', '/event-types', { token }), 401, 'UNAUTHENTICATED')
  })

  test.each(ofOrg)('$title tells a stranger nothing about an org', async (operation) => {
    const there = await ask(operation, theirs.token, myIds)
    const nowhere = await ask(operation, theirs.token, { ...myIds, orgId: 'never-existed' })
    expectProblem(there, 404, 'NOT_FOUND')
    expect(told(there)).toEqual(told(nowhere))
  })

  test.each(ofOrg)('$title is refused to a viewer', async (operation) => {
    expectProblem(await ask(operation, viewer, myIds), 403, 'FORBIDDEN')
  })

  test.each(operations.filter(({ isForSuperadmins }) => isForSuperadmins))(
    '$title is refused to an owner, whatever the org',
    async (operation) => {
      const here = await ask(operation, mine.token, myIds)
      expectProblem(here, 403, 'FORBIDDEN')
      const nowhere = await ask(operation, mine.token, { ...myIds, orgId: 'never-existed' })
      expect(told(nowhere)).toEqual(told(here))
    },
  )
})

describe('what is asked', () => {
  const token = api.superadmin
  const headers = { 'content-type': 'application/json' }

  test.each(withBody)('$title refuses a body that is not JSON', async (operation) => {
    const request = { token, text: '{"a":', headers }
    const answer = await api.call(operation.method, pathOf(operation, myIds), request)
    expectProblem(answer, 400, 'INVALID_BODY')
  })

  test.each(withBody)('$title refuses another content type', async (operation) => {
    const request = { token, text: '{}', headers: { 'content-type': 'text/plain' } }
    const answer = await api.call(operation.method, pathOf(operation, myIds), request)
    expectProblem(answer, 415, 'UNSUPPORTED_MEDIA_TYPE')
  })

  test.each(withBody)('$title refuses a content coding', async (operation) => {
    const request = { token, text: '{}', headers: { ...headers, 'content-encoding': 'gzip' } }
    const answer = await api.call(operation.method, pathOf(operation, myIds), request)
    expectProblem(answer, 415, 'UNSUPPORTED_MEDIA_TYPE')
  })

  test.each(withBody)('$title names a field it does not know', async (operation) => {
    const body = sample(operation.body ?? {}, '', mine.orgId) as object
    const answer = await ask(operation, token, myIds, { ...body, surprise: 1 })
    expectProblem(answer, 400, 'INVALID_BODY')
    expect(JSON.stringify(answer.body.details)).toContain('surprise')
  })

  test.each(withBody)('$title refuses a field of a wrong type and names it', async (operation) => {
    const { properties = {} } = operation.body ?? {}
    const body = sample(operation.body ?? {}, '', mine.orgId) as object
    const typed = Object.entries(properties).filter(([, { type }]) => typeof type === 'string')
    for (const [name, { type }] of typed) {
      const wrong = type === 'string' ? 42 : 'wrong'
      const answer = await ask(operation, token, myIds, { ...body, [name]: wrong })
      expectProblem(answer, 400, 'INVALID_BODY')
      expect(answer.body.details).toMatchObject([{ path: name }])
    }
    expectProblem(await ask(operation, token, myIds, []), 400, 'INVALID_BODY')
  })

  test.each(withBody)('$title refuses a body that is too large', async (operation) => {
    const { maxBytes } = bodyBounds(operation.path)
    const answer = await ask(operation, token, myIds, { filler: 'x'.repeat(maxBytes) })
    expectProblem(answer, 413, 'PAYLOAD_TOO_LARGE')
  })
})

describe('what is not there', () => {
  test.each(withIds)('$title does not find ids that nobody has', async (operation) => {
    const unknown = Object.fromEntries(
      Object.entries(myIds).map(([name, id]) => [
        name,
        UUID_PARAM.test(`{${name}}`) ? randomUUID() : id,
      ]),
    )
    expectProblem(await ask(operation, mine.token, unknown), 404, 'NOT_FOUND')
  })

  test.each(withIds)(
    '$title answers for ids of another org as for unknown ones',
    async (operation) => {
      const last = LAST_UUID_PARAM.exec(operation.path)?.[1] ?? ''
      const unknown = await ask(operation, mine.token, { ...myIds, [last]: randomUUID() })
      expectProblem(unknown, 404, 'NOT_FOUND')
      const one = await ask(operation, mine.token, { ...myIds, [last]: theirIds[last] ?? '' })
      const all = await ask(operation, mine.token, { ...theirIds, orgId: mine.orgId })
      expect(told(one)).toEqual(told(unknown))
      expectProblem(all, 404, 'NOT_FOUND')
    },
  )

  test.each(withIds)('$title does not find an id that is none', async (operation) => {
    const last = LAST_UUID_PARAM.exec(operation.path)?.[1] ?? ''
    expectProblem(await ask(operation, mine.token, { ...myIds, [last]: '1' }), 404, 'NOT_FOUND')
  })

  test.each([
    ['GET', '/nowhere'],
    ['PUT', '/orgs'],
    ['DELETE', '/event-types'],
  ])('%s %s is no route', async (method, path) => {
    expectProblem(await api.call(method, path, { token: mine.token }), 404, 'NOT_FOUND')
  })

  test('nothing of all this broke inside', () => {
    expect(api.broken).toEqual([])
  })
})
