import { spawnSync } from 'node:child_process'
import { GenericContainer, Wait } from 'testcontainers'
import { migrate } from '../src/db/migrate.ts'

/** `npm run test:containers`: the migrations, twice over, on every supported Postgres, in containers. */
const VERSIONS = [15, 16, 17, 18]

function hasDocker(): boolean {
  return spawnSync('docker', ['info'], { stdio: 'ignore' }).status === 0
}

async function tryVersion(version: number): Promise<void> {
  await using container = await new GenericContainer(`postgres:${version}`)
    .withEnvironment({ POSTGRES_PASSWORD: 'test', POSTGRES_DB: 'patchbay' })
    .withExposedPorts(5432)
    .withWaitStrategy(Wait.forLogMessage('database system is ready to accept connections', 2))
    .start()
  const url = `postgres://postgres:test@${container.getHost()}:${container.getMappedPort(5432)}/patchbay`
  const applied = await migrate(url)
  const again = await migrate(url)
  console.log(`✓ Postgres ${version}: ${applied.length} migrations, then ${again.length}`)
}

if (hasDocker()) {
  for (const version of VERSIONS) await tryVersion(version)
} else {
  console.error(
    'test:containers cannot run: no Docker engine answers here (`docker info` fails). `npm test` needs none.',
  )
  process.exitCode = 1
}
