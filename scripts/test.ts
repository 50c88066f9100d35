import { spawn } from 'node:child_process'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { runChecks } from './checks.ts'

/** `npm test`: static checks, then unit, Postgres and end-to-end tests; the last line counts them all. */
const root = join(import.meta.dirname, '..')

interface Counts {
  readonly passed: number
  readonly failed: number
}

async function runVitest(): Promise<Counts> {
  const dir = await mkdtemp(join(tmpdir(), 'patchbay-report-'))
  const report = join(dir, 'report.json')
  const args = [
    join(root, 'node_modules/vitest/vitest.mjs'),
    'run',
    '--reporter=default',
    '--reporter=json',
    `--outputFile.json=${report}`,
    ...process.argv.slice(2),
  ]
  const code = await new Promise<number | null>((resolve, reject) => {
    const child = spawn(process.execPath, args, { cwd: root, stdio: 'inherit' })
    child.once('error', reject)
    child.once('exit', resolve)
  })
  try {
    const { numPassedTests, numFailedTests } = JSON.parse(await readFile(report, 'utf8'))
    // A file that cannot be loaded, or a hook that fails, fails no test of its own.
    const isBroken = code !== 0 && numFailedTests === 0
    return { passed: numPassedTests, failed: numFailedTests + (isBroken ? 1 : 0) }
  } catch {
    return { passed: 0, failed: 1 }
  } finally {
    await rm(dir, { recursive: true, force: true })
  }
}

const checks = await runChecks()
const tests = await runVitest()
const passed = checks.filter((check) => check.isOk).length + tests.passed
const failed = checks.filter((check) => !check.isOk).length + tests.failed
console.log(`${passed} passed, ${failed} failed`)
process.exitCode = failed === 0 ? 0 : 1
