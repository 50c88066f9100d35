import { execFile, spawnSync } from 'node:child_process'
import { createHmac } from 'node:crypto'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { readInbound } from '../../src/providers/generic-webhook/inbound.ts'
import { newSigningSecret } from '../../src/security/signature.ts'
import { openReceiver, type ReceivedRequest, type Receiver } from '../fixtures/receiver.ts'

const DOCUMENT = await readFile(new URL('../../docs/apps/generic.md', import.meta.url), 'utf8')
const SECRET = newSigningSecret()
const INTEGRATION_ID = '01a1f3c2-9d4e-7c11-8a51-6f0e2b7d9c06'
const CONVERSATION_ID = '01a1f3c2-9d4e-7c11-8a51-6f0e2b7d9c00'

/** The block that follows a heading, as a reader would copy it. */
function block(heading: string, fence: string): string {
  const [, text = ''] = DOCUMENT.split(`\n${heading}\n`)[1]?.split(`\n\`\`\`${fence}\n`) ?? []
  const end = text.indexOf('\n```')
  if (end < 0) throw new Error(`no ${fence} under ${heading}`)
  return text.slice(0, end)
}

const has = (command: string, version: string) => spawnSync(command, [version]).status === 0
const hasOpenssl = has('openssl', 'version')
const RECIPES = [
  {
    name: 'Node',
    file: 'send.mts',
    command: process.execPath,
    text: block('### With Node', 'ts'),
    isHere: true,
  },
  {
    name: 'curl',
    file: 'send.sh',
    command: 'sh',
    text: block('### With curl', 'sh'),
    isHere: hasOpenssl && has('curl', '--version'),
  },
]

function read({ headers, body }: ReceivedRequest) {
  const known = Object.fromEntries(
    Object.entries(headers).map(([name, value]) => [name, value?.toString()]),
  )
  const secrets = { credentials: {}, signingSecrets: [SECRET] }
  return readInbound({ headers: known, rawBody: body, nowMs: Date.now() }, secrets)
}

describe.each(RECIPES.filter(({ isHere }) => isHere))(
  'the $name program of docs/apps/generic.md',
  ({ file, command, text }) => {
    let dir: string
    let receiver: Receiver
    let statuses: number[] = []

    beforeAll(async () => {
      dir = await mkdtemp(join(tmpdir(), 'patchbay-sending-'))
      await writeFile(join(dir, file), text)
      receiver = await openReceiver((response) => {
        response.statusCode = statuses.shift() ?? 202
        response.end(JSON.stringify({ messageId: 'm-1' }))
      })
    })
    afterAll(async () => {
      await receiver[Symbol.asyncDispose]()
      await rm(dir, { recursive: true })
    })

    const run = () =>
      promisify(execFile)(command, [file], {
        cwd: dir,
        env: {
          PATH: process.env.PATH ?? '',
          PATCHBAY: receiver.url,
          INTEGRATION_ID,
          INBOUND_SECRET: SECRET,
          CONVERSATION_ID,
        },
      })

    test('posts a message that is read as it was meant', async () => {
      const { stdout } = await run()
      expect(stdout).toContain('m-1')
      const request = receiver.requests.at(-1)
      expect(request).toMatchObject({
        method: 'POST',
        url: `/inbound/${INTEGRATION_ID}`,
        headers: { 'content-type': 'application/json' },
      })
      expect(request === undefined ? null : read(request)).toMatchObject({
        kind: 'said',
        said: {
          key: expect.stringMatching(/^webhook:msg-[0-9a-f-]{32,36}$/),
          text: 'Where is my parcel?',
          where: { conversationId: CONVERSATION_ID },
          isAsking: true,
        },
      })
    })

    // The shell's recipe leaves it to whoever runs it.
    if (file !== 'send.mts') return

    test('sends it again after a 503, as the same message', async () => {
      const before = receiver.requests.length
      statuses = [503]
      await run()
      const kinds = receiver.requests.slice(before).map(read)
      expect(kinds).toMatchObject([{ kind: 'said' }, { kind: 'said' }])
      expect(kinds[0]).toEqual(kinds[1])
    }, 15_000)

    test('does not send again what was refused', async () => {
      const before = receiver.requests.length
      statuses = [400]
      await expect(run()).rejects.toThrow('HTTP 400')
      expect(receiver.requests).toHaveLength(before + 1)
    })
  },
)

test.runIf(hasOpenssl)('the simple signature of docs/apps/generic.md fits', async () => {
  const body = JSON.stringify({ conversationId: CONVERSATION_ID, content: 'yes' })
  const { stdout } = await promisify(execFile)(
    'sh',
    ['-c', block('## The simple signature', 'sh')],
    {
      env: { PATH: process.env.PATH ?? '', BODY: body, INBOUND_SECRET: SECRET },
    },
  )
  const hex = createHmac('sha256', SECRET).update(body).digest('hex')
  expect(stdout).toContain(hex)
})
