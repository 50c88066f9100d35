import { describe, expect, test } from 'vitest'
import {
  APPROVAL,
  CALL,
  EXPIRES_AT,
  type McpWorld,
  makeMcpWorld,
  succeeded,
  WAITS,
} from '../../../../test/fixtures/mcp-world.ts'

type Json = ReturnType<typeof JSON.parse>

describe('the state of a question', () => {
  const manager = {
    tool: { approval: 'ask' as const },
    answer: WAITS,
    permissions: ['org:tools:manage'],
    decided: { kind: 'ran' as const, run: succeeded({ key: 'A-2' }) },
  }
  const META = {
    'io.modelcontextprotocol/protocolVersion': '2026-07-28',
    'io.modelcontextprotocol/clientCapabilities': { elicitation: {} },
  }
  const post = async (
    world: McpWorld,
    more: object,
    args: object = CALL.arguments,
  ): Promise<Json> => {
    const params = { name: CALL.name, arguments: args, _meta: META, ...more }
    const request = new Request('http://mcp.example/mcp', {
      method: 'POST',
      headers: {
        'content-type': 'application/json',
        accept: 'application/json, text/event-stream',
        'mcp-protocol-version': '2026-07-28',
        'mcp-method': 'tools/call',
        'mcp-name': CALL.name,
      },
      body: JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'tools/call', params }),
    })
    return (await makeMcpWorld({ ...manager, ...world }).fetch(request)).json()
  }
  const approved = { approval: { action: 'accept', content: { approve: true } } }
  const begin = async (): Promise<string> => (await post({}, {})).result.requestState
  const REFUSED = { error: { code: -32602, data: { reason: 'invalid_request_state' } } }

  test('goes on with the call, also where its arguments stand in another order', async () => {
    const requestState = await begin()
    const answer = await post(
      {},
      { requestState, inputResponses: approved },
      { b: 1, title: 'Broken' },
    )
    expect(answer.result.content[0].text).toBe('{"key":"A-2"}')
  })

  test('is of no use to another person, for other arguments, too late, or changed', async () => {
    const requestState = await begin()
    const retry = { requestState, inputResponses: approved }
    expect(await post({ principalId: 'bob' }, retry)).toMatchObject(REFUSED)
    expect(await post({}, retry, { title: 'Other', b: 1 })).toMatchObject(REFUSED)
    expect(await post({ nowMs: Date.parse(EXPIRES_AT) }, retry)).toMatchObject(REFUSED)
    expect(await post({}, { ...retry, requestState: `x${requestState}` })).toMatchObject(REFUSED)
    expect(await post({}, { ...retry, requestState: '' })).toMatchObject(REFUSED)
  })

  test.each([
    ['nothing', {}],
    ['another name', { wrong: { action: 'accept', content: { approve: true } } }],
    ['no answer', { approval: { action: 'accept', content: { approve: 'yes' } } }],
  ])('is asked for again where it comes back with %s', async (_, inputResponses) => {
    const requestState = await begin()
    const { result } = await post({}, { requestState, inputResponses })
    expect(result).toMatchObject({ resultType: 'input_required', inputRequests: { approval: {} } })
  })

  test('decides nothing where the permission is gone', async () => {
    const requestState = await begin()
    const answer = await post({ permissions: [] }, { requestState, inputResponses: approved })
    expect(answer.result.content[0].text).toContain(`approval ${APPROVAL}`)
  })
})
