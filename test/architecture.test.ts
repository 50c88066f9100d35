import { globSync, readFileSync } from 'node:fs'
import { dirname, join, normalize } from 'node:path'
import { expect, test } from 'vitest'

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
  tools: ['core', 'telemetry', 'db', 'egress', 'security'],
  chat: ['core', 'telemetry', 'db'],
  auth: ['core', 'telemetry', 'db', 'security', 'egress'],
  jobs: ['core', 'telemetry', 'db'],

  http: [
    'core',
    'telemetry',
    'outbox',
    'delivery',
    'history',
    'integrations',
    'providers',
    'tools',
    'chat',
    'auth',
    'jobs',
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
    'providers',
    'tools',
    'chat',
    'auth',
    'jobs',
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
  undici: ['egress'],
  ajv: ['tools'],
  ai: ['chat'],
  // Typed CRUD, beside the feature it serves.
  'drizzle-orm': ['db', 'integrations', 'tools', 'chat', 'auth', 'service'],
}

/** What could open a socket. Only egress/ does; Postgres is reached through its drivers. */
const SOCKETS = /^(node:)?(http|https|http2|net|tls|dns|dgram)(\/promises)?$/
const MAY_OPEN_SOCKETS = new Set([
  'src/egress/connect.ts',
  'src/egress/address.ts',
  'src/egress/allow-list.ts',
  'src/egress/url.ts',
  // Looks for a free port.
  'src/db/embedded.ts',
])

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

test.each(files)('%s opens no socket of its own', (file) => {
  const text = readFileSync(file, 'utf8')
  const values = text.replaceAll(/^import type [^;'"]*?'[^']+'/gm, '')
  const sockets = importsOf(values).filter((specifier) => SOCKETS.test(specifier))
  if (!MAY_OPEN_SOCKETS.has(file)) expect(sockets).toEqual([])
  expect(text, 'the global fetch').not.toMatch(/(?<![.\w])fetch\(/)
})

/** What sees every org: the installation itself, never what serves one org's request. */
const MAY_SEE_ALL_ORGS = new Set([
  'src/auth/orgs.ts',
  'src/db/data-keys.ts',
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
