import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { openTestApi, type TestApi } from '../fixtures/api.ts'
import {
  AUDIENCE,
  authorizationOf,
  ISSUER,
  makeStrayTokens,
  openIdentityProvider,
  type TokenCase,
} from './identity-provider.ts'

const cases: readonly TokenCase[] = JSON.parse(
  readFileSync(join(import.meta.dirname, 'jwt.json'), 'utf8'),
)

/** What a case means where the org stands in the path: a token that names another org, or none, has nothing to do with it. */
const OTHER_ORG = new Set(['org-space', 'org-two', 'org-not-uuid'])

/** Cases of what Patchbay does not have, and why. */
const NOT_HERE: Readonly<Record<string, string>> = {
  'revoked-jti':
    'there is no list of revoked tokens: a token is taken back by removing the member, or by waiting for its end, a day at most',
}

const ORG = '11111111-1111-4111-8111-111111111111'
const OTHER = '22222222-2222-4222-8222-222222222222'

const stack = new AsyncDisposableStack()
afterAll(() => stack.disposeAsync())

async function openApi(answer: string) {
  const provider = stack.use(await openIdentityProvider(answer))
  const api = stack.use(
    await openTestApi({
      AUTH_JWKS_URL: `${provider.url}/jwks`,
      AUTH_ISSUER: ISSUER,
      AUTH_AUDIENCE: AUDIENCE,
      AUTH_TOKEN_TYPE: 'at+jwt',
      AUTH_ORG_CLAIM: 'orgs',
    }),
  )
  for (const id of [ORG, OTHER]) await api.database.addOrg(id)
  return { api, provider }
}

const nowS = () => Math.floor(Date.now() / 1000)

function send(api: TestApi, given: TokenCase, authorization: string) {
  const { body, headers } = given.request ?? {}
  return api.call(body === undefined ? 'GET' : 'POST', `/orgs/${ORG}/integrations`, {
    headers: { ...headers, authorization },
    ...(body === undefined ? {} : { json: { providerKey: 'slack', name: 'Slack', ...body } }),
  })
}

function expectAnswer(given: TokenCase, status: number): void {
  const isRefused = status >= 400
  const verdicts = [given.expect, ...(given.also_ok ?? [])]
  expect(verdicts).toContain(isRefused ? 'reject' : 'accept')
  if (given.expect === 'reject') {
    const expected = OTHER_ORG.has(given.name) ? 404 : given.status
    expect([expected, ...(given.also_ok_status ?? [])]).toContain(status)
  }
}

const { api, provider } = await openApi('good')
const known = cases.filter(({ name }) => !(name in NOT_HERE))

test('every case that is left out says why', () => {
  expect(cases.filter(({ name }) => name in NOT_HERE).map(({ name }) => name)).toEqual(
    Object.keys(NOT_HERE),
  )
})

describe('a token', () => {
  test.each(known.filter(({ kind }) => kind !== 'jwks'))('$name: $expect', async (given) => {
    const answer = await send(api, given, authorizationOf(given, nowS()))
    expectAnswer(given, answer.status)
    if (answer.status === 401) expect(answer.body.detail).toBe('A valid bearer token is needed.')
    if (given.no_egress === true) expect(provider.requests.length).toBeLessThanOrEqual(1)
  })

  test('none of them made the provider be asked twice, or anybody else at all', () => {
    expect(provider.requests.map(({ url }) => url)).toEqual(['/jwks'])
    expect(api.fetched).toEqual([`${provider.url}/jwks`])
    expect(api.broken).toEqual([])
  })
})

describe('published keys', () => {
  test.each(known.filter(({ kind }) => kind === 'jwks'))('$name: $expect', async (given) => {
    const { api: own, provider: asked } = await openApi(given.jwks?.fetch ?? 'good')
    const { requests = 1, max_fetches = 1 } = given.jwks ?? {}
    if (requests === 1) {
      const answer = await send(own, given, authorizationOf(given, nowS()))
      expectAnswer(given, answer.status)
    }
    const stray = makeStrayTokens(given, nowS())
    const statuses = new Map<number, number>()
    for (let sent = 0; requests > 1 && sent < requests; sent += 1) {
      const { status } = await send(own, given, stray())
      statuses.set(status, (statuses.get(status) ?? 0) + 1)
    }
    expect([...statuses]).toEqual(requests === 1 ? [] : [[given.status, requests]])
    expect(asked.requests.length).toBeLessThanOrEqual(max_fetches)
    expect(own.fetched.filter((url) => !url.startsWith(asked.url))).toEqual([])
    expect(own.broken).toEqual([])
  })
})
