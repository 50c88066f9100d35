import { parseArgs } from 'node:util'
import type { Pool, PoolClient } from 'pg'
import { ConfigError } from '../src/config.ts'
import { migrate } from '../src/db/migrate.ts'
import { openPool } from '../src/db/pool.ts'
import { parseAllowList } from '../src/egress/allow-list.ts'
import { openEgress } from '../src/egress/egress.ts'
import { embeddedKeyFile, makeKeyWrapper } from '../src/service/master-key.ts'
import { type RotationDeps, rotateDataKeys, rotateMasterKey } from '../src/service/rotate-keys.ts'
import { withDatabase } from './with-database.ts'

const USAGE = 'Usage: npm run keys:rotate [-- --data-keys [--grace SECONDS]]'
const GRACE_S = 600
const PROGRESS_MS = 1000
/** Any number, the same in every process: who rotates holds this advisory lock. */
const LOCK = 7_246_853_242

/**
 * `npm run keys:rotate`: wraps every data key by the current master key, while Patchbay runs. With `--data-keys` the data keys
 * themselves are made new, and everything is sealed again. Killed at any point and started again, it goes on.
 */
async function main(): Promise<void> {
  const { isDataKeys, graceS } = parseOptions()
  await withDatabase(async (url, config) => {
    await migrate(url)
    await using stack = new AsyncDisposableStack()
    const stopping = new AbortController()
    const pool = openPool({
      url,
      max: 4,
      applicationName: 'patchbay keys:rotate',
      // A scan of a large table may take its time.
      settings: ['statement_timeout=0'],
      onError: (error) => stopping.abort(error),
    })
    stack.defer(() => pool.end())
    const lock = await takeLock(pool, stopping)
    stack.defer(() => lock.release(true))
    const egress = stack.use(
      openEgress({
        isHttpAllowed: false,
        allow: parseAllowList([]),
        allowInternal: parseAllowList([]),
      }),
    )
    const wrapper = makeKeyWrapper(config, {
      fetch: egress.operatorFetch,
      // What it cannot do is thrown.
      onChange: () => undefined,
    })
    const deps = {
      pool,
      wrapper,
      say: console.log,
      progress: makeProgress(),
      signal: stopping.signal,
    }
    if (isDataKeys) await newDataKeys(deps, graceS)
    else await newMasterKey(deps, embeddedKeyFile(config))
  })
}

/** The first line, then one a second at most. */
function makeProgress(): (line: string) => void {
  let saidAtMs = Number.NEGATIVE_INFINITY
  return (line) => {
    if (performance.now() - saidAtMs < PROGRESS_MS) return
    saidAtMs = performance.now()
    console.log(line)
  }
}

function parseOptions(): { isDataKeys: boolean; graceS: number } {
  const { values } = parseArgs({
    options: { 'data-keys': { type: 'boolean', default: false }, grace: { type: 'string' } },
  })
  const graceS = values.grace === undefined ? GRACE_S : Number(values.grace)
  if (!(graceS >= 0 && graceS <= 86_400)) throw new ConfigError([`--grace: not seconds\n${USAGE}`])
  return { isDataKeys: values['data-keys'], graceS }
}

/** Its connection holds the lock: when that breaks, another may rotate, so this one stops. */
async function takeLock(pool: Pool, stopping: AbortController): Promise<PoolClient> {
  const client = await pool.connect()
  client.on('error', (error) => stopping.abort(error))
  const { rows } = await client.query('select pg_try_advisory_lock($1) as is_ours', [LOCK])
  if (rows[0]?.is_ours === true) return client
  client.release(true)
  throw new ConfigError(['Another keys:rotate is running on this database.'])
}

async function newMasterKey(
  deps: RotationDeps,
  keyFile: ReturnType<typeof embeddedKeyFile>,
): Promise<void> {
  const { currentId, rewrapped, total, outdated, broken } = await rotateMasterKey(deps, keyFile)
  console.log(`Re-wrapped ${rewrapped} of ${total} data keys under ${currentId}.`)
  await note(deps.pool, 'master_key.rotated', currentId, { rewrapped, outdated })
  if (outdated === 0) {
    const next =
      keyFile === null ? 'MASTER_KEY_PREVIOUS may be removed now.' : 'The old key was deleted.'
    console.log(`0 data keys remain on an older key. ${next}`)
    return
  }
  process.exitCode = 1
  console.error(`${outdated} data keys remain on an older key: keep it, and run this again.`)
  for (const name of broken) console.error(`  does not open: ${name}`)
}

async function newDataKeys(deps: RotationDeps, graceS: number): Promise<void> {
  const { orgs, resealed, deleted, kept, broken } = await rotateDataKeys(deps, graceS)
  console.log(`Sealed ${resealed} values of ${orgs} orgs again, under new data keys.`)
  console.log(`Deleted ${deleted} old data keys; ${kept} remain.`)
  await note(deps.pool, 'data_keys.rotated', '', { orgs, resealed, deleted, kept })
  if (broken.length === 0) return
  process.exitCode = 1
  for (const name of broken) console.error(`  does not open: ${name}`)
}

/** In the installation's own audit log. */
async function note(pool: Pool, action: string, target: string, detail: object): Promise<void> {
  await pool.query(
    `insert into patchbay.audit_log (org_id, principal_id, action, target, detail)
     values ('', 'npm run keys:rotate', $1, $2, $3)`,
    [action, target, detail],
  )
}

try {
  await main()
} catch (error) {
  process.exitCode = 1
  const isUsage = error instanceof ConfigError || error instanceof TypeError
  console.error(isUsage ? error.message : error)
}
