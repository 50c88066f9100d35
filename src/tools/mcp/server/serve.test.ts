import { describe, expect, test } from 'vitest'
import { ERAS } from '../../../../test/fixtures/mcp-client.ts'
import {
  APPROVAL,
  CALL,
  EXPIRES_AT,
  makeMcpWorld,
  openClientOf,
  RUN,
  succeeded,
  textOf,
  WAITS,
} from '../../../../test/fixtures/mcp-world.ts'
import { AppError } from '../../../core/error.ts'

describe.each(ERAS)('a client of %s', (era) => {
  test('finds the tools in the same order, with what is known of them', async () => {
    await using client = await openClientOf(makeMcpWorld({ permissions: ['org:chat'] }), era)
    expect(client.getNegotiatedProtocolVersion()).toBe(era)
    const { tools } = await client.listTools()
    expect(tools.map(({ name }) => name)).toEqual([
      'clock_now',
      'conversation_search',
      'jira_createIssue',
    ])
    expect(tools[2]).toMatchObject({
      title: 'jira.createIssue',
      annotations: { readOnlyHint: false, destructiveHint: true, openWorldHint: true },
    })
  })

  test('sees no tool that reads conversations where the caller may not', async () => {
    await using client = await openClientOf(makeMcpWorld(), era)
    const { tools } = await client.listTools()
    expect(tools.map(({ name }) => name)).toEqual(['clock_now', 'jira_createIssue'])
  })

  test('is told what came of a call, and which run it was', async () => {
    await using client = await openClientOf(makeMcpWorld(), era)
    const result = await client.callTool(CALL)
    expect(textOf(result)).toBe('{"key":"A-1"}')
    expect(result._meta).toMatchObject({ 'patchbay/runId': RUN })
  })

  test('gets structured content where the tool promises it', async () => {
    const outputSchema = { type: 'object', required: ['key'] }
    await using client = await openClientOf(makeMcpWorld({ tool: { outputSchema } }), era)
    const { tools } = await client.listTools()
    expect(tools.at(-1)?.outputSchema).toEqual(outputSchema)
    expect((await client.callTool(CALL)).structuredContent).toEqual({ key: 'A-1' })
  })

  test('sees a result that is not as promised, and that the call has happened', async () => {
    const outputSchema = { type: 'object', required: ['id'] }
    await using client = await openClientOf(makeMcpWorld({ tool: { outputSchema } }), era)
    await client.listTools()
    const result = await client.callTool(CALL)
    expect(result).toMatchObject({ isError: true, _meta: { 'patchbay/runId': RUN } })
    expect(textOf(result)).toBe(
      'jira.createIssue ran, so do not call it again for this, but its result is not what its output schema says:\nresult.id is missing\nThe result:\n{"key":"A-1"}',
    )
  })

  test('is told that a call waits, who decides and until when', async () => {
    const world = makeMcpWorld({ tool: { approval: 'ask' }, answer: WAITS })
    await using client = await openClientOf(world, era)
    const result = await client.callTool(CALL)
    expect(result.isError).toBeUndefined()
    expect(textOf(result)).toContain(`(approval ${APPROVAL}, until ${EXPIRES_AT})`)
    expect(textOf(result)).toContain(`POST /orgs/acme/approvals/${APPROVAL}`)
  })

  test('is told of an error of ours without a word on what it is, and it is logged', async () => {
    const world = makeMcpWorld({ answer: new Error('the password is x') })
    await using client = await openClientOf(world, era)
    await expect(client.callTool(CALL)).rejects.toMatchObject({
      code: -32603,
      message: expect.not.stringContaining('password'),
    })
    expect(world.reported).toEqual([new Error('the password is x')])
  })

  test('is told of no such tool by an error of the protocol', async () => {
    await using client = await openClientOf(
      makeMcpWorld({ answer: new AppError('NOT_FOUND', 'None.') }),
      era,
    )
    await expect(client.callTool(CALL)).rejects.toMatchObject({ code: -32602, message: /None/ })
  })

  test.each([
    [
      'arguments that do not fit',
      new AppError('INVALID_BODY', 'args', {
        details: [
          { path: 'args.title', message: 'is missing' },
          { path: 'args.x', message: 'must be number' },
        ],
      }),
      'args.title is missing\nargs.x must be number',
    ],
    [
      'too many calls',
      new AppError('RATE_LIMITED', 'Too many.', { retryAfterS: 7 }),
      'Too many.\nTry again in 7 s.',
    ],
    ['a call that was denied', new AppError('FORBIDDEN', 'bob denied it.'), 'bob denied it.'],
  ])('can go on after %s', async (_, answer, text) => {
    await using client = await openClientOf(makeMcpWorld({ answer }), era)
    const result = await client.callTool(CALL)
    expect(result.isError).toBe(true)
    expect(textOf(result)).toBe(text)
  })
})

describe('a result', () => {
  const resultOf = async (result: unknown) => {
    const world = makeMcpWorld({ answer: { kind: 'ran', run: succeeded(result) } })
    await using client = await openClientOf(world)
    return textOf(await client.callTool(CALL))
  }

  test('that is long is cut for the model', async () => {
    expect(await resultOf('x'.repeat(2000))).toBe(`${'x'.repeat(1000)}[cut]`)
  })

  test('that is nothing says so', async () => {
    for (const nothing of [null, '', undefined]) {
      expect(await resultOf(nothing)).toBe('It ran, and gave nothing back.')
    }
  })

  test('that nobody knows of says that the call may have happened', async () => {
    const run = { ...succeeded(null), outcome: 'unknown' as const }
    await using client = await openClientOf(makeMcpWorld({ answer: { kind: 'ran', run } }))
    expect(textOf(await client.callTool(CALL))).toContain('it may have happened')
  })
})

describe('a call that has to be approved', () => {
  const asking = { tool: { approval: 'ask' as const }, answer: WAITS }
  const manager = { ...asking, permissions: ['org:tools:manage'] }
  const DONE = { kind: 'ran' as const, run: succeeded({ key: 'A-2' }) }
  const DENIED = new AppError('FORBIDDEN', 'jira.createIssue: ann denied this call.')

  test('promises no output, since it may end without a result', async () => {
    const outputSchema = { type: 'object' }
    await using client = await openClientOf(
      makeMcpWorld({ tool: { approval: 'ask', outputSchema } }),
    )
    const { tools } = await client.listTools()
    expect(tools.at(-1)).not.toHaveProperty('outputSchema')
  })

  test('is put to the person at the client who may decide, with the arguments', async () => {
    const questions: string[] = []
    const world = makeMcpWorld({ ...manager, decided: DONE })
    await using client = await openClientOf(world, '2026-07-28', (message) => {
      questions.push(message)
      return { action: 'accept', content: { approve: true } }
    })
    expect(textOf(await client.callTool(CALL))).toBe('{"key":"A-2"}')
    expect(questions).toEqual([
      'Run jira.createIssue with these arguments?\n{\n  "title": "Broken"\n}',
    ])
    const by = { principalId: 'ann', address: null, requestId: 'r1' }
    expect(world.decisions).toEqual([['acme', APPROVAL, 'approve', by]])
  })

  test.each([
    ['says no', { action: 'accept' as const, content: { approve: false } }],
    ['declines', { action: 'decline' as const }],
  ])('does not run where that person %s', async (_, said) => {
    const world = makeMcpWorld({ ...manager, decided: DENIED })
    await using client = await openClientOf(world, '2026-07-28', () => said)
    const result = await client.callTool(CALL)
    expect(result.isError).toBe(true)
    expect(textOf(result)).toContain('denied this call')
    expect(world.decisions).toMatchObject([['acme', APPROVAL, 'deny', {}]])
  })

  test('goes on waiting where that person closes the question', async () => {
    const world = makeMcpWorld({ ...manager, decided: DONE })
    await using client = await openClientOf(world, '2026-07-28', () => ({ action: 'cancel' }))
    expect(textOf(await client.callTool(CALL))).toContain(`approval ${APPROVAL}`)
    expect(world.decisions).toEqual([])
  })

  test('is not put to somebody who may not decide', async () => {
    let asked = 0
    await using client = await openClientOf(makeMcpWorld(asking), '2026-07-28', () => {
      asked += 1
      return { action: 'accept', content: { approve: true } }
    })
    expect(textOf(await client.callTool(CALL))).toContain(`approval ${APPROVAL}`)
    expect(asked).toBe(0)
  })

  test('is not put to anybody where its arguments are too long to be seen', async () => {
    let asked = 0
    const waiting = { ...WAITS.waiting, arguments: { title: 'x'.repeat(5000) } }
    const world = makeMcpWorld({ ...manager, answer: { kind: 'waits', waiting }, decided: DONE })
    await using client = await openClientOf(world, '2026-07-28', () => {
      asked += 1
      return { action: 'accept', content: { approve: true } }
    })
    expect(textOf(await client.callTool(CALL))).toContain(`approval ${APPROVAL}`)
    expect(asked).toBe(0)
  })

  test('that somebody else decided meanwhile is told as what came of it', async () => {
    const world = makeMcpWorld(manager)
    await using client = await openClientOf(world, '2026-07-28', () => ({
      action: 'accept',
      content: { approve: true },
    }))
    // Asked for once more after the conflict, and not put to anybody again.
    expect(textOf(await client.callTool(CALL))).toContain(`approval ${APPROVAL}`)
    expect(world.asked).toHaveLength(2)
  })
})

describe('what the server does not have', () => {
  const post = async (body: unknown) => {
    const request = new Request('http://mcp.example/mcp', {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    })
    const response = await makeMcpWorld().fetch(request)
    return { status: response.status, body: await response.json() }
  }

  test('is batches: a request is one message', async () => {
    const ping = { jsonrpc: '2.0', id: 1, method: 'ping' }
    expect(await post([ping, ping])).toMatchObject({
      status: 400,
      body: { error: { code: -32600 } },
    })
  })

  test('is streams of changes', async () => {
    expect(await post({ jsonrpc: '2.0', id: 'a', method: 'subscriptions/listen' })).toMatchObject({
      status: 404,
      body: { id: 'a', error: { code: -32601 } },
    })
  })
})

describe('a schema', () => {
  test('has nothing in it that would have clients repeat arguments in headers', async () => {
    const argsSchema = {
      type: 'object',
      properties: {
        region: { type: 'string', 'x-mcp-header': 'Region' },
        'x-mcp-header': { type: 'string' },
      },
    }
    await using client = await openClientOf(makeMcpWorld({ tool: { argsSchema } }))
    const { tools } = await client.listTools()
    expect(tools.at(-1)?.inputSchema).toEqual({
      type: 'object',
      properties: { region: { type: 'string' }, x_mcp_header: { type: 'string' } },
    })
  })
})
