import { afterAll, beforeAll, expect, test } from 'vitest'
import { openStory, type Story, type StoryOrg } from '../behaviours/story.ts'
import { openReceiver, type Receiver } from '../fixtures/receiver.ts'
import { connect } from './examples/mcp.ts'

let story: Story
let org: StoryOrg
let weather: Receiver

beforeAll(async () => {
  story = await openStory({ isWorker: false })
  org = await story.addOrg()
  weather = await openReceiver((response) => {
    response.setHeader('content-type', 'application/json')
    response.end('{"degrees":6}')
  })
  const tools = `${org.path}/integrations/${org.integrationId}/tools`
  const tool = {
    name: 'city.weather',
    description: 'Tells the weather.',
    argsSchema: { type: 'object', properties: { 'city-id': { type: 'string' } } },
    httpConfig: { method: 'POST', url: weather.url },
  }
  expect(await org.call('POST', tools, tool)).toMatchObject({ status: 201 })
})
afterAll(async () => {
  await weather[Symbol.asyncDispose]()
  await story[Symbol.asyncDispose]()
})

test('an MCP client has the same tools under the same names, and runs them', async () => {
  const client = await connect({ url: story.url, orgId: org.id, token: org.token })
  try {
    const { tools } = await client.listTools()
    expect(tools.map(({ name }) => name)).toContain('city_weather')
    const called = await client.callTool({ name: 'city_weather', arguments: { city_id: 'zrh' } })
    expect(called.isError).not.toBe(true)
    expect(JSON.stringify(called.content)).toContain('degrees')
    const [request] = weather.requests
    expect(JSON.parse(request?.body ?? '')).toMatchObject({ args: { 'city-id': 'zrh' } })
  } finally {
    await client.close()
  }
})
