import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { expect, test } from 'vitest'

const LOG = join(import.meta.dirname, 'log.ts')

/** What a process prints that runs `body` with a log on stdout. */
async function printed(body: string): Promise<string> {
  const code = `import { makeLog } from ${JSON.stringify(LOG)}\nconst log = makeLog('info')\n${body}`
  const child = spawn(process.execPath, ['--input-type=module', '--eval', code], {
    stdio: ['ignore', 'pipe', 'ignore'],
  })
  const exited = once(child, 'exit')
  const output = await text(child.stdout)
  await exited
  return output
}

const messages = (output: string) =>
  output
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line).msg)

const LINES = 2000
const COUNTED = Array.from({ length: LINES }, (_, i) => String(i))
const LOG_ALL = `for (let i = 0; i < ${LINES}; i += 1) log.info({ pad: 'x'.repeat(300) }, String(i))`

test.each([
  ['it ends by itself', ''],
  ['it ends itself in the same turn', 'process.exit(1)'],
  ['an error ends it', 'null.x'],
])('every line is printed, in order, when %s', async (_, end) => {
  expect(messages(await printed(`${LOG_ALL}\n${end}`))).toEqual(COUNTED)
})

test('what is fatal does not wait, not even for SIGKILL', async () => {
  const output = await printed(
    `log.info({}, 'before')\nlog.fatal({}, 'broke')\nprocess.kill(process.pid, 'SIGKILL')`,
  )
  expect(messages(output)).toEqual(['before', 'broke'])
})

test('a process that goes on prints at the end of each turn', async () => {
  const output = await printed(
    `log.info({}, 'now')\nsetTimeout(() => process.kill(process.pid, 'SIGKILL'), 50)`,
  )
  expect(messages(output)).toEqual(['now'])
})
