import { afterAll, afterEach, describe, expect, test } from 'vitest'
import { echoTool, openMcp } from '../../../../test/doubles/mcp.ts'
import { openTestApi } from '../../../../test/fixtures/api.ts'
import { type Installed, makeMcpInstalls } from '../../../../test/fixtures/mcp-installs.ts'

const api = await openTestApi()
const server = await openMcp()
afterAll(async () => {
  await server[Symbol.asyncDispose]()
  await api[Symbol.asyncDispose]()
})
afterEach(() => {
  Object.assign(server, { tools: [], page: null, misbehave: null, token: null })
})
const { install, refresh, toolsOf, catalogOf, integrationOf, age } = makeMcpInstalls(api, server)

describe('when it is read', () => {
  const freshOf = async ({ id }: Installed) => {
    const { rows } = await api.database.pool.query(
      `select round(extract(epoch from tools_fresh_until - now()))::int as s, tools_reading_until
       from patchbay.org_integrations where id = $1`,
      [id],
    )
    return rows[0]
  }

  test.each([
    [undefined, 300],
    [0, 300],
    [1, 60],
    [600_000, 600],
    [1e12, 86_400],
  ])('a server that says its list is good for %s ms is read again after %i s', async (ttlMs, s) => {
    const tools = [echoTool('say').definition]
    server.page = () => ({ tools, ...(ttlMs === undefined ? {} : { ttlMs }) })
    const mine = await install()
    await refresh(mine)
    const fresh = await freshOf(mine)
    expect(Math.abs(fresh.s - s)).toBeLessThanOrEqual(2)
    expect(fresh.tools_reading_until).toBeNull()
  })

  test('one that fails is left in peace for longer each time', async () => {
    server.misbehave = (response) => response.writeHead(500).end()
    const mine = await install()
    const waits: number[] = []
    for (let time = 0; time < 8; time += 1) {
      await refresh(mine)
      waits.push((await freshOf(mine)).s)
    }
    expect(waits).toEqual([60, 120, 240, 480, 960, 1920, 3600, 3600])
  })

  test('whatever is due is read by the sweep, once, and nothing else', async () => {
    server.tools = [echoTool('say')]
    const mine = await install({ prefix: 'gh' })
    const disabled = await install({ prefix: 'gh' })
    await api.call('PATCH', disabled.path, { token: disabled.token, json: { isEnabled: false } })
    await Promise.all([api.readDueTools(), api.readDueTools()])
    expect(await catalogOf(mine)).toEqual(['gh.say'])
    expect((await toolsOf(disabled)).length).toBe(0)
    const before = server.requests.length
    await api.readDueTools()
    expect(server.requests.length).toBe(before)
    await age(mine)
    await api.readDueTools()
    expect(server.requests.length).toBeGreaterThan(before)
  })

  test('it is asked for when it is installed, changed and enabled, and when stale tools are listed', async () => {
    server.tools = [echoTool('say')]
    const asked = () => api.readings.filter((id) => id === mine.id).length
    const mine = await install({ prefix: 'gh' })
    const { token } = mine
    expect(asked()).toBe(1)
    await refresh(mine)
    await api.call('PATCH', mine.path, { token, json: { name: 'Other' } })
    await catalogOf(mine)
    expect(asked()).toBe(1)
    await api.call('PATCH', mine.path, { token, json: { config: { url: server.url } } })
    expect(asked()).toBe(2)
    await api.call('PATCH', mine.path, { token, json: { isEnabled: false } })
    expect(await catalogOf(mine)).toEqual([])
    expect(asked()).toBe(2)
    await api.call('PATCH', mine.path, { token, json: { isEnabled: true } })
    expect(asked()).toBe(3)
    await refresh(mine)
    await age(mine)
    // What is there is listed at once, and not read by who lists it.
    const before = server.requests.length
    expect(await catalogOf(mine)).toEqual(['gh.say'])
    expect(asked()).toBe(4)
    expect(server.requests.length).toBe(before)
  })

  test('what was read of a server that is no longer it is not kept', async () => {
    server.tools = [echoTool('say')]
    const mine = await install({ prefix: 'gh' })
    let isChanged = false
    server.misbehave = (response) => {
      if (isChanged) {
        response.writeHead(500).end('another server')
        return
      }
      isChanged = true
      const json = { credentials: { token: 't-very-secret' } }
      void api
        .call('PATCH', mine.path, { token: mine.token, json })
        .then(() => response.writeHead(500).end('the old server'))
    }
    expect((await refresh(mine)).body.detail).toContain('another server')
    expect((await integrationOf(mine)).statusDetail).toContain('another server')
  })
})
