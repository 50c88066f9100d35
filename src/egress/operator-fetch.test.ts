import { gzipSync } from 'node:zlib'
import { afterAll, describe, expect, test } from 'vitest'
import { openReceiver } from '../../test/fixtures/receiver.ts'
import { parseAllowList } from './allow-list.ts'
import { openEgress } from './egress.ts'

const stack = new AsyncDisposableStack()
afterAll(() => stack.disposeAsync())

const BOMB = gzipSync(Buffer.alloc(52_428_800))
const receiver = stack.use(
  await openReceiver((response, { url }) => {
    if (url === '/redirect') response.writeHead(302, { location: '/elsewhere' }).end()
    else if (url === '/bomb') response.writeHead(200, { 'content-encoding': 'gzip' }).end(BOMB)
    else if (url === '/drip') response.write('.')
    else if (url === '/none') response.writeHead(204).end()
    else response.setHeader('content-type', 'application/json').end('{"keys":[]}')
  }),
)
const nothing = parseAllowList([])
const egress = stack.use(
  openEgress({ isHttpAllowed: false, allow: nothing, allowInternal: nothing }),
)
const fetchKeys = egress.operatorFetch.within({ maxBytes: 65_536, timeoutMs: 400 })

describe('the fetch for what the operator configured', () => {
  test('gives the answer as it is, from whatever address', async () => {
    const answer = await egress.operatorFetch(`${receiver.url}/keys`)
    expect({ ok: answer.ok, type: answer.headers.get('content-type') }).toEqual({
      ok: true,
      type: 'application/json',
    })
    expect(await answer.json()).toEqual({ keys: [] })
    expect((await egress.operatorFetch(`${receiver.url}/none`)).status).toBe(204)
  })

  test('follows no redirect', async () => {
    const before = receiver.requests.length
    await expect(egress.operatorFetch(`${receiver.url}/redirect`)).rejects.toThrow()
    const manual = await egress.operatorFetch(`${receiver.url}/redirect`, { redirect: 'manual' })
    expect(manual.ok).toBe(false)
    await expect(
      egress.operatorFetch(`${receiver.url}/redirect`, { redirect: 'follow' }),
    ).rejects.toThrow()
    const asked = receiver.requests.slice(before).map(({ url }) => url)
    expect(asked).toEqual(['/redirect', '/redirect', '/redirect'])
  })

  test('counts bytes after decompression, and stops there', async () => {
    const answer = await fetchKeys(`${receiver.url}/bomb`)
    await expect(answer.arrayBuffer()).rejects.toThrow('over 65536 bytes')
  })

  test('ends a body that drips at the deadline for the whole', async () => {
    const answer = await fetchKeys(`${receiver.url}/drip`)
    await expect(answer.text()).rejects.toThrow()
  })

  test('ends when its caller has had enough', async () => {
    const stopped = egress.operatorFetch(receiver.url, { signal: AbortSignal.abort() })
    await expect(stopped).rejects.toThrow()
  })
})
