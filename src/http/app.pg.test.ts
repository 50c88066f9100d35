import { randomUUID } from 'node:crypto'
import { afterAll, describe, expect, test } from 'vitest'
import { type ApiAnswer, addMember, openTestApi } from '../../test/fixtures/api.ts'
import { fanOut } from '../outbox/relay.ts'

interface Schema {
  readonly type?: string | readonly string[]
  readonly format?: string
  readonly enum?: readonly unknown[]
  readonly example?: unknown
  readonly required?: readonly string[]
  readonly properties?: Readonly<Record<string, Schema>>
  readonly items?: Schema
}

/** A route as the app's own OpenAPI document shows it. */
interface Operation {
  readonly title: string
  readonly method: string
  readonly path: string
  readonly isForSuperadmins: boolean
  /** Where the org stands; null: the route belongs to no org. */
  readonly orgIn: 'path' | 'query' | 'body' | null
  readonly body: Schema | null
}

type Ids = Readonly<Record<string, string>>

const UUID_PARAM = /\{(?:integration|webhook|tool|event|delivery|conversation|recovery)Id\}/
const LAST_UUID_PARAM = /\{(\w+Id)\}(?!.*\{\w+Id\})/

const api = await openTestApi()
afterAll(async () => {
  await api[Symbol.asyncDispose]()
})
const mine = await api.addOrgOf('me')
const theirs = await api.addOrgOf('they')
await addMember(api.database, mine.orgId, 'watcher', 'viewer')
const viewer = await api.token('watcher')
const myIds = await fill(mine)
const theirIds = await fill(theirs)
const operations = await readOperations()
const withBody = operations.filter((operation) => operation.body !== null)
const ofOrg = operations.filter(
  ({ orgIn, isForSuperadmins }) => orgIn !== null && !isForSuperadmins,
)
const withIds = operations.filter(({ path }) => UUID_PARAM.test(path))

/** One of everything that a path can name. */
async function fill({ orgId, token }: { orgId: string; token: string }): Promise<Ids> {
  const post = async (path: string, json: unknown) => {
    const answer = await api.call('POST', `/orgs/${orgId}${path}`, { token, json })
    expect(answer.text).toSatisfy(() => answer.status < 300)
    return answer.body
  }
  const { integration } = await post('/integrations', {
    providerKey: 'generic-webhook',
    name: 'Hooks',
  })
  const base = `/integrations/${integration.id}`
  const url = 'https://hooks.example.com/'
  const { webhook } = await post(`${base}/webhooks`, { url, eventTypes: ['*'] })
  const { tool } = await post(`${base}/tools`, {
    name: 'kept.tool',
    description: 'Stays',
    argsSchema: { type: 'object' },
    httpConfig: { method: 'GET', url },
  })
  const { event } = await post('/events', { type: 'a.b', data: {} })
  await fanOut(api.database.pool, 100)
  const { rows } = await api.database.pool.query(
    'select id from patchbay.delivery_queue where event_id = $1',
    [event.id],
  )
  const { conversation } = await post('/conversations', {})
  const since = new Date(Date.now() - 3_600_000).toISOString()
  const { recovery } = await post(`${base}/webhooks/${webhook.id}/recover`, { since })
  return {
    orgId,
    integrationId: integration.id,
    webhookId: webhook.id,
    toolId: tool.id,
    eventId: event.id,
    deliveryId: rows[0].id,
    recoveryId: recovery.id,
    conversationId: conversation.id,
    userId: 'somebody',
    name: 'clock.now',
    key: 'slack',
  }
}

async function readOperations(): Promise<Operation[]> {
  const { body } = await api.call('GET', '/openapi.json')
  return Object.entries<Record<string, ReturnType<typeof JSON.parse>>>(body.paths).flatMap(
    ([path, methods]) =>
      Object.entries(methods).map(([method, operation]) => {
        const schema: Schema | null =
          operation.requestBody?.content['application/json'].schema ?? null
        const isQuery = (parameter: { name: string; in: string }) =>
          parameter.name === 'orgId' && parameter.in === 'query'
        return {
          title: `${method.toUpperCase()} ${path}`,
          method: method.toUpperCase(),
          path,
          isForSuperadmins: String(operation.summary).includes('super-admin'),
          orgIn: path.includes('{orgId}')
            ? ('path' as const)
            : operation.parameters?.some(isQuery)
              ? ('query' as const)
              : schema?.required?.includes('orgId')
                ? ('body' as const)
                : null,
          body: schema,
        }
      }),
  )
}

/** The smallest body that a schema takes. */
function sample(schema: Schema, name: string, orgId: string): unknown {
  if (schema.example !== undefined) return schema.example
  if (schema.enum !== undefined) return schema.enum[0]
  if (name === 'orgId') return orgId
  if (name === 'url') return 'https://hooks.example.com/'
  if (name === 'argsSchema') return { type: 'object' }
  switch (schema.type) {
    case 'object':
      return Object.fromEntries(
        (schema.required ?? []).map((key) => [
          key,
          sample(schema.properties?.[key] ?? {}, key, orgId),
        ]),
      )
    case 'array':
      return [sample(schema.items ?? {}, '', orgId)]
    default:
      return 'text'
  }
}

function pathOf(operation: Operation, ids: Ids): string {
  const path = operation.path.replace(/\{(\w+)\}/g, (_, name: string) => ids[name] ?? name)
  if (path.endsWith('/explain')) return `${path}?webhookId=${ids.webhookId}`
  return operation.orgIn === 'query' ? `${path}?orgId=${ids.orgId}` : path
}

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

  test.each(withBody)('$title refuses a body over 1 MiB', async (operation) => {
    const answer = await ask(operation, token, myIds, { filler: 'x'.repeat(1_048_576) })
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
