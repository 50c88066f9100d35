// Runs a script of this project on the pinned Node, and installs what is missing first:
//   node scripts/run.mjs scripts/quickstart.ts [arguments]
// This file runs before anything is installed, on whatever Node the machine has: plain JavaScript, no dependencies.
import { spawn, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const isWindows = process.platform === 'win32'
const pinnedNode = join(root, 'node_modules', 'node', 'bin', isWindows ? 'node.exe' : 'node')
const stamp = join(root, 'node_modules', '.patchbay-installed')

function main() {
  const major = Number(process.versions.node.split('.')[0])
  if (major < 20) {
    console.error(
      `Node ${process.versions.node} is too old to install Patchbay: 20 or newer is needed.`,
    )
    process.exit(1)
  }
  const wanted = fingerprint()
  const installed = existsSync(stamp) ? readFileSync(stamp, 'utf8') : ''
  if (installed !== wanted || !existsSync(pinnedNode)) install(wanted)
  const args = process.argv.slice(2)
  // glibc gives each thread an arena of its own and keeps what is freed in it: a tenth of a worker's memory. What the caller
  // sets goes first; the image sets the same.
  const { config } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
  const child = spawn(pinnedNode, [join(root, args[0] || ''), ...args.slice(1)], {
    stdio: 'inherit',
    env: { ...config, ...process.env },
  })
  // A terminal sends Ctrl-C to the whole group; a supervisor signals this process alone.
  for (const signal of ['SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal))
  process.on('SIGINT', () => {})
  // npm ends without passing its signal on: when it is gone, so are we.
  const parent = process.ppid
  setInterval(() => process.ppid !== parent && child.kill('SIGTERM'), 500).unref()
  child.on('exit', (code, signal) => {
    process.exitCode = code === null ? 128 + (signal === 'SIGINT' ? 2 : 15) : code
  })
}

function fingerprint() {
  const hash = createHash('sha256')
  for (const file of ['package.json', 'package-lock.json'])
    hash.update(readFileSync(join(root, file)))
  return hash.digest('hex')
}

function install(wanted) {
  console.log('Installing what package-lock.json lists (once, under a minute) …')
  // Not `npm ci`: it refuses a lock file without the binaries of other platforms. The versions are the lock file's.
  const result = spawnSync(
    isWindows ? 'npm.cmd' : 'npm',
    ['install', '--no-save', '--no-audit', '--no-fund', '--loglevel=error'],
    {
      cwd: root,
      stdio: ['ignore', 'pipe', 'pipe'],
      encoding: 'utf8',
      shell: isWindows,
    },
  )
  if (result.status !== 0 || !existsSync(pinnedNode)) {
    console.error(result.stdout, result.stderr)
    console.error('npm install failed: see above.')
    process.exit(1)
  }
  writeFileSync(stamp, wanted)
}

main()
