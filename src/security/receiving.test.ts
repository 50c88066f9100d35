import { spawn, spawnSync } from 'node:child_process'
import { createHmac } from 'node:crypto'
import { once } from 'node:events'
import { mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { makeSign, newSigningSecret, verifyWebhook } from './signature.ts'

const DOCUMENT = await readFile(new URL('../../docs/receiving.md', import.meta.url), 'utf8')
const ID = '01a1f3c2-9d4e-7c11-8a51-6f0e2b7d9c00'
const BODY = `{"id":"${ID}","type":"a.b","timestamp":"2026-11-23T15:04:05.678Z","orgId":"acme","data":{"text":"Grüße 漢字"}}`
const SECRET = newSigningSecret()
const OTHER_SECRET = newSigningSecret()

/** The document's first block in a language, as a reader would copy it. */
function block(language: string): string {
  const [, text] = DOCUMENT.split(`\n\`\`\`${language}\n`)
  const end = text?.indexOf('\n```')
  if (text === undefined || end === undefined) throw new Error(`no block in ${language}`)
  return text.slice(0, end)
}

interface Recipe {
  readonly language: string
  readonly fence: string
  readonly file: string
  readonly command: string
}

/** Where this machine's Python is, or null. */
function findPython(): string | null {
  const found = spawnSync('python3', ['-c', 'import sys; print(sys.executable)'])
  return found.status === 0 ? found.stdout.toString().trim() : null
}

const python = findPython()
const RECIPES: readonly Recipe[] = [
  { language: 'TypeScript', fence: 'ts', file: 'receive.mts', command: process.execPath },
  ...(python === null
    ? []
    : [{ language: 'Python', fence: 'python', file: 'receive.py', command: python }]),
]

interface Receiver extends AsyncDisposable {
  readonly url: string
  /** All that it has printed so far. */
  readonly printed: () => string
}

/** Runs a receiver as its reader would, on a port that is free. */
async function start(recipe: Recipe, secret: string): Promise<Receiver> {
  const dir = await mkdtemp(join(tmpdir(), 'patchbay-receiving-'))
  await writeFile(join(dir, recipe.file), block(recipe.fence))
  const child = spawn(recipe.command, [recipe.file], {
    cwd: dir,
    env: { WEBHOOK_SECRET: secret, PORT: '0', PYTHONUNBUFFERED: '1' },
  })
  const exited = once(child, 'close')
  let output = ''
  const port = new Promise<string>((resolve) => {
    const read = (chunk: Buffer) => {
      output += chunk.toString()
      const [, listening] = /listening on.*?(\d{4,5})\D/s.exec(output) ?? []
      if (listening !== undefined) resolve(listening)
    }
    child.stdout.on('data', read)
    child.stderr.on('data', read)
  })
  const stop = async () => {
    child.kill()
    await exited
    await rm(dir, { recursive: true })
  }
  const first = await Promise.race([port, exited])
  if (typeof first !== 'string') {
    await stop()
    throw new Error(`it ended before it listened: ${output}`)
  }
  return {
    url: `http://127.0.0.1:${first}/`,
    printed: () => output,
    [Symbol.asyncDispose]: stop,
  }
}

const nowS = () => Math.floor(Date.now() / 1000)

function signed(secrets: readonly string[], timestampS = nowS()): Record<string, string> {
  return {
    'content-type': 'application/json',
    'webhook-id': ID,
    'webhook-timestamp': String(timestampS),
    'webhook-signature': makeSign(secrets)(ID, timestampS, BODY).standard,
  }
}

describe.each(RECIPES)('the $language receiver of docs/receiving.md', (recipe) => {
  let receiver: Receiver

  beforeAll(async () => {
    receiver = await start(recipe, SECRET)
  }, 30_000)
  afterAll(() => receiver[Symbol.asyncDispose]())

  async function post(headers: Record<string, string>, body = BODY): Promise<number> {
    const response = await fetch(receiver.url, { method: 'POST', headers, body })
    await response.arrayBuffer()
    return response.status
  }

  test('it takes a signed webhook and reads the event', async () => {
    expect(await post(signed([SECRET]))).toBe(204)
    await expect.poll(receiver.printed).toContain(`a.b ${ID}`)
  })

  test('it takes a webhook that any one of several secrets signed', async () => {
    expect(await post(signed([SECRET, OTHER_SECRET]))).toBe(204)
    expect(await post(signed([OTHER_SECRET, SECRET]))).toBe(204)
  })

  test('it takes a webhook four minutes off, and refuses one six minutes off, both ways', async () => {
    for (const minutes of [-4, 4]) {
      expect(await post(signed([SECRET], nowS() + minutes * 60))).toBe(204)
    }
    for (const minutes of [-6, 6]) {
      expect(await post(signed([SECRET], nowS() + minutes * 60))).toBe(401)
    }
  })

  test('it refuses a body that was changed', async () => {
    expect(await post(signed([SECRET]), BODY.replace('acme', 'evil'))).toBe(401)
    expect(await post(signed([SECRET]), `${BODY} `)).toBe(401)
    expect(await post(signed([SECRET]), '')).toBe(401)
  })

  test.each([
    ['another secret', signed([OTHER_SECRET])],
    ['another id', { ...signed([SECRET]), 'webhook-id': 'other' }],
    ['another time', { ...signed([SECRET]), 'webhook-timestamp': String(nowS() - 1) }],
    ['a time that is no number', { ...signed([SECRET]), 'webhook-timestamp': '\u00b2' }],
    ['no headers', {}],
    ['an empty signature', { ...signed([SECRET]), 'webhook-signature': '' }],
    ['a signature of another length', { ...signed([SECRET]), 'webhook-signature': 'v1,\u00e9' }],
  ])('it refuses %s', async (_, headers) => {
    expect(await post(headers)).toBe(401)
  })

  test('it refuses another scheme', async () => {
    const headers = signed([SECRET])
    const signature = `${headers['webhook-signature']}`.replace('v1,', 'v1a,')
    expect(await post({ ...headers, 'webhook-signature': signature })).toBe(401)
  })

  test('it goes on after a body that is too large', async () => {
    await post(signed([SECRET]), 'x'.repeat(2_000_000)).catch(() => 'cut off')
    expect(await post(signed([SECRET]))).toBe(204)
  })

  test.each(['', 'whsec_', 'undefined'])('it does not start with the secret %j', async (secret) => {
    await expect(start(recipe, secret)).rejects.toThrow(/before it listened.*WEBHOOK_SECRET/s)
  })
})

test('the stock library, used as docs/receiving.md shows, takes a signed webhook and refuses a changed one', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'patchbay-receiving-'))
  const packages = fileURLToPath(new URL('../../node_modules', import.meta.url))
  const exitCodeFor = (body: string) => {
    const given = `const request = { headers: ${JSON.stringify(signed([SECRET]))} }
const rawBody = Buffer.from(${JSON.stringify(body)})\n`
    const script = `${given}${block('js')}\nif (event.orgId !== 'acme') process.exit(2)`
    const env = { WEBHOOK_SECRET: SECRET }
    const flags = ['--input-type=module', '--eval', script]
    return spawnSync(process.execPath, flags, { cwd: dir, env }).status
  }
  try {
    await symlink(packages, join(dir, 'node_modules'))
    expect(exitCodeFor(BODY)).toBe(0)
    expect(exitCodeFor(`${BODY} `)).toBe(1)
  } finally {
    await rm(dir, { recursive: true })
  }
})

describe('the example request of docs/receiving.md', () => {
  const [head = '', body = ''] = block('http').split('\n\n')
  const [requestLine, ...lines] = head.split('\n')
  const headers = Object.fromEntries(
    lines.map((line) => {
      const [name = '', value = ''] = line.split(': ')
      return [name.toLowerCase(), value]
    }),
  )
  const [secret = ''] = /whsec_[A-Za-z0-9+/]+=/.exec(DOCUMENT) ?? []

  test('it is signed with its secret, both ways', () => {
    const options = { nowS: Number(headers['webhook-timestamp']) }
    const event = verifyWebhook(secret, headers, body, options)
    expect(event.id).toBe(headers['webhook-id'])
    expect(event.type).toBe(headers['x-ai-chat-event'])
    const plain = createHmac('sha256', secret).update(body).digest('hex')
    expect(headers['x-ai-chat-signature']).toBe(plain)
  })

  test('it is framed as it says', () => {
    expect(requestLine).toMatch(/^POST /)
    expect(headers['content-length']).toBe(String(Buffer.byteLength(body)))
  })
})
