import { globSync, readFileSync } from 'node:fs'
import { dirname, join, normalize } from 'node:path'
import { expect, test } from 'vitest'
import { socketsIn } from './fixtures/sockets.ts'

/** The architecture: each folder of src/ and the folders it may import. Nothing else is allowed. */
const MAY_IMPORT: Record<string, readonly string[]> = {
  core: [],

  telemetry: ['core'],
  security: ['core'],
  egress: ['core', 'telemetry'],
  db: ['core', 'telemetry'],

  outbox: ['core', 'telemetry', 'db'],
  delivery: ['core', 'telemetry', 'db', 'security', 'egress'],
  history: ['core', 'telemetry', 'db'],
  integrations: ['core', 'telemetry', 'db', 'security'],
  providers: ['core', 'telemetry', 'egress', 'security'],
  inbound: ['core', 'telemetry', 'db', 'security'],
  tools: ['core', 'telemetry', 'db', 'egress', 'security'],
  chat: ['core', 'telemetry', 'db'],
  auth: ['core', 'telemetry', 'db', 'security', 'egress'],
  jobs: ['core', 'telemetry', 'db'],
  limits: ['core', 'telemetry', 'db'],

  http: [
    'core',
    'telemetry',
    'outbox',
    'delivery',
    'history',
    'integrations',
    'inbound',
    'providers',
    'tools',
    'chat',
    'auth',
    'jobs',
    'limits',
  ],

  // Where the process is put together: it knows everything, and nothing knows it.
  service: [
    'core',
    'telemetry',
    'security',
    'egress',
    'db',
    'outbox',
    'delivery',
    'history',
    'integrations',
    'inbound',
    'providers',
    'tools',
    'chat',
    'auth',
    'jobs',
    'limits',
    'http',
    'config.ts',
  ],
}

/** Packages with owners. */
const OWNED_BY: Record<string, readonly string[]> = {
  hono: ['http'],
  '@hono': ['http'],
  jose: ['auth'],
  pg: ['db'],
  'pg-boss': ['jobs'],
  pino: ['telemetry'],
  'prom-client': ['telemetry'],
  undici: ['egress'],
  'rate-limiter-flexible': ['limits'],
  ajv: ['tools'],
  // Its transports are given a `fetch` that goes through egress/.
  '@modelcontextprotocol': ['tools'],
  '@scalar': ['tools'],
  ai: ['chat'],
  // Typed CRUD, beside the feature it serves.
  'drizzle-orm': ['db', 'integrations', 'tools', 'chat', 'auth', 'service'],
}

/** Files that have what could open a socket, and what. Only egress/ calls out; the others say why. */
const MAY_HAVE: Readonly<Record<string, readonly string[]>> = {
  'src/egress/address.ts': ['node:net'],
  'src/egress/allow-list.ts': ['node:net'],
  'src/egress/connect.ts': ['node:dns/promises', 'node:net'],
  'src/egress/egress.ts': ['undici'],
  'src/egress/operator-fetch.ts': ['undici'],
  'src/egress/own-addresses.ts': ['node:net'],
  'src/egress/proxy.ts': ['node:http', 'node:net', 'undici'],
  'src/egress/reach.ts': ['node:net'],
  'src/egress/url.ts': ['node:net'],
  // Says where modules of one package are, and opens nothing.
  'src/main.ts': ['node:module'],
  // Listens, and opens nothing.
  'src/http/listen.ts': ['node:http'],
  // Compares addresses.
  'src/http/client-address.ts': ['node:net'],
  // Looks for a free port, and loads and starts the Postgres of a package that may not be there.
  'src/db/embedded.ts': ['node:module', 'node:net', 'import of a name that is made up'],
  'src/db/launcher.ts': ['node:child_process'],
  // A context without anything in it, for patterns that may run for ever.
  'src/tools/args.ts': ['node:vm'],
  // A thread of its own for a stranger's document, which ends when that takes too long. Nothing in it opens anything.
  'src/tools/openapi/plan-in-thread.ts': ['node:events', 'node:worker_threads', 'Worker'],
  'src/tools/openapi/plan-thread.ts': ['node:worker_threads'],
}

/** Packages that reach the database or listen, or do neither. What is not here or in `OWNED_BY` is looked at first. */
const PACKAGES = new Set([...Object.keys(OWNED_BY), '@ai-sdk', 'ajv-formats', 'zod'])

const IMPORT = /^(?:import|export)\s[^;'"]*?\bfrom\s+'([^']+)'|\bimport\('([^']+)'\)/gm

function importsOf(text: string): string[] {
  return [...text.matchAll(IMPORT)].map(([, plain, dynamic]) => plain ?? dynamic ?? '')
}

function folderOf(file: string): string {
  return file.split('/')[1] ?? ''
}

function packageOf(specifier: string): string {
  return specifier.split('/')[0] ?? ''
}

const files = globSync('src/*/**/*.ts').filter((file) => !file.endsWith('.test.ts'))

test('every folder has a place in the architecture', () => {
  expect(Object.keys(MAY_IMPORT)).toEqual(expect.arrayContaining([...new Set(files.map(folderOf))]))
})

test.each(files)('%s imports only what its folder may', (file) => {
  const folder = folderOf(file)
  const allowed = new Set([folder, ...(MAY_IMPORT[folder] ?? [])])
  const text = readFileSync(file, 'utf8')
  for (const specifier of importsOf(text)) {
    if (specifier === '../../package.json') continue
    if (specifier.startsWith('.')) {
      expect(allowed, specifier).toContain(folderOf(normalize(join(dirname(file), specifier))))
    } else if (folder === 'core') {
      expect(specifier, 'core is pure').toBe('zod')
    } else {
      const owners = OWNED_BY[packageOf(specifier)]
      const isType = text.includes(`import type { Pool } from '${specifier}'`)
      if (owners !== undefined && !isType) expect(owners, specifier).toContain(folder)
    }
  }
})

/** What is loaded with a file: by itself or by what it loads, but not by an `import()`, which comes later or never. */
function loadedWith(file: string, seen = new Set<string>()): Set<string> {
  if (seen.has(file)) return seen
  seen.add(file)
  for (const [statement, specifier] of readFileSync(file, 'utf8').matchAll(IMPORT)) {
    if (specifier === undefined || /^(?:import|export) type /.test(statement)) continue
    if (!specifier.startsWith('.')) seen.add(specifier)
    else if (specifier.endsWith('.ts')) loadedWith(normalize(join(dirname(file), specifier)), seen)
  }
  return seen
}

test('a worker is not loaded with the API, nor with the libraries for models and MCP', () => {
  const loaded = loadedWith('src/run.ts')
  expect([...loaded]).toEqual(expect.arrayContaining(['src/service/worker.ts', 'pg', 'undici']))
  expect([...loaded].filter((name) => /^src\/http\/(?:routes|app)/.test(name))).toEqual([])
  for (const name of ['ai', '@ai-sdk/openai-compatible', '@modelcontextprotocol/client', 'hono']) {
    expect(loaded).not.toContain(name)
  }
})

const everyFile = globSync('src/**/*.ts').filter((file) => !file.endsWith('.test.ts'))

test.each(everyFile)('%s opens no socket of its own', (file) => {
  const { modules, others } = socketsIn(readFileSync(file, 'utf8'))
  const allowed = MAY_HAVE[file] ?? []
  const packages = modules.filter((specifier) => PACKAGES.has(packageOf(specifier)))
  const rest = modules.filter(
    (specifier) => !packages.includes(specifier) || specifier === 'undici',
  )
  expect([...rest, ...others].filter((found) => !allowed.includes(found))).toEqual([])
})

test('no file has a leave that it does not use', () => {
  for (const [file, allowed] of Object.entries(MAY_HAVE)) {
    const { modules, others } = socketsIn(readFileSync(file, 'utf8'))
    expect({ file, has: [...modules, ...others] }).toEqual({
      file,
      has: expect.arrayContaining([...allowed]),
    })
  }
})

test.each([
  "import { connect } from 'node:net'",
  "import * as net from 'net'",
  "import tls from 'node:tls'",
  "import { request } from 'node:https'",
  "import 'node:http2'",
  "import { createSocket } from 'node:dgram'",
  "import { spawn } from 'node:child_process'",
  "import { Worker } from 'node:worker_threads'",
  "import { createRequire } from 'node:module'",
  "import inspector from 'node:inspector'",
  "import got from 'got'",
  "export { connect } from 'node:net'",
  "export * from 'node:net'",
  "const net = await import('node:net')",
  'const net = await import(name)',
  "const net = await import('no' + 'de:net')",
  "const net = require('net')",
  "const net = process.getBuiltinModule('net')",
  "const net = process['getBuiltinModule']('net')",
  'const net = process[name]',
  "const wrap = process.binding('tcp_wrap')",
  "await fetch('https://example.com')",
  'const send = fetch',
  'const { fetch } = globalThis',
  "await globalThis['fetch']('https://example.com')",
  'const deps = { fetch }',
  "send(fetch as Send, 'https://example.com')",
  "new WebSocket('wss://example.com')",
  "new EventSource('https://example.com')",
  "new Worker('./x.js')",
  "eval('1')",
  "new Function('return 1')",
  "(() => 1).constructor('return 1')",
])('a file with %j would be found', (line) => {
  const { modules, others } = socketsIn(line)
  expect([...modules, ...others]).not.toEqual([])
})

test.each([
  "import type { Socket } from 'node:net'",
  "import { type Socket } from './socket.ts'",
  "import { createHash } from 'node:crypto'",
  'interface Deps { readonly fetch: typeof fetch }',
  'const call = deps.fetch',
  'const deps = { fetch: call }',
  'function call(send: typeof globalThis.fetch) { return send }',
])('a file with %j would not', (line) => {
  expect(socketsIn(line)).toEqual({ modules: [], others: [] })
})

/** What sees every org: the installation itself, never what serves one org's request. */
const MAY_SEE_ALL_ORGS = new Set([
  'src/auth/orgs.ts',
  // The look-up of an API key, whose org is not known yet.
  'src/auth/api-keys.ts',
  'src/db/pool.ts',
  'src/service/api.ts',
  'src/service/resources.ts',
])

test.each(files)('%s reaches an org’s rows through that org alone', (file) => {
  const text = readFileSync(file, 'utf8')
  const takesAll =
    /import (?:type )?\{[^}]*\bDb\b[^}]*\} from '[^']*\/pool\.ts'|resources\.db|\bdb: Db\b/
  if (takesAll.test(text)) expect(MAY_SEE_ALL_ORGS).toContain(file)
})
