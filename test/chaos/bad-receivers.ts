import { fork } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'

/** Their ports, by kind. */
export async function startBadReceivers(
  stack: AsyncDisposableStack,
): Promise<Record<string, number>> {
  const child = fork(join(import.meta.dirname, 'processes/bad-receivers.ts'), { execArgv: [] })
  const exited = once(child, 'exit')
  stack.defer(async () => {
    child.kill('SIGKILL')
    await exited
  })
  const [ports] = await once(child, 'message')
  return ports
}
