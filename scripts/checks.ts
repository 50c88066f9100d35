import { spawn } from 'node:child_process'
import { join } from 'node:path'

const root = join(import.meta.dirname, '..')

interface Check {
  readonly name: string
  readonly command: readonly string[]
}

export interface CheckResult {
  readonly name: string
  readonly isOk: boolean
}

const bin = (name: string) => join(root, 'node_modules', '.bin', name)

const CHECKS: readonly Check[] = [
  { name: 'types', command: [bin('tsc'), '--noEmit', '-p', root] },
  { name: 'format and lint', command: [bin('biome'), 'check', '--error-on-warnings', root] },
  {
    name: 'promises',
    command: [bin('oxlint'), '--type-aware', '--deny-warnings', 'src', 'scripts', 'test'],
  },
  { name: 'unused code', command: [bin('knip')] },
  {
    name: 'generated settings',
    command: [process.execPath, join(root, 'scripts/settings.ts'), '--check'],
  },
]

/** Runs the static checks one after the other; prints a line for each, and the output of those that fail. */
export async function runChecks(): Promise<CheckResult[]> {
  const results: CheckResult[] = []
  for (const check of CHECKS) {
    const startedAt = performance.now()
    const { code, output } = await run(check.command)
    const isOk = code === 0
    const seconds = ((performance.now() - startedAt) / 1000).toFixed(1)
    console.log(`${isOk ? '✓' : '✗'} ${check.name.padEnd(20)} ${seconds} s`)
    if (!isOk) console.log(output)
    results.push({ name: check.name, isOk })
  }
  return results
}

function run(command: readonly string[]): Promise<{ code: number | null; output: string }> {
  const [program = '', ...args] = command
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { cwd: root, stdio: ['ignore', 'pipe', 'pipe'] })
    const chunks: Buffer[] = []
    child.stdout.on('data', (chunk: Buffer) => chunks.push(chunk))
    child.stderr.on('data', (chunk: Buffer) => chunks.push(chunk))
    child.once('error', reject)
    child.once('close', (code) => resolve({ code, output: Buffer.concat(chunks).toString() }))
  })
}
