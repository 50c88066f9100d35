import { type ChildProcess, fork } from 'node:child_process'
import { openSync } from 'node:fs'
import { join } from 'node:path'

const root = join(import.meta.dirname, '../..')

export interface Child<Message> extends AsyncDisposable {
  readonly process: ChildProcess
  /** Its first message. */
  readonly message: Promise<Message>
}

/** Starts a script of this project in a process of its own; disposing ends it. */
export function startChild<Message>(
  script: string,
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
  logFile?: string,
): Child<Message> {
  const out = logFile === undefined ? 'inherit' : openSync(logFile, 'a')
  const child = fork(join(root, script), [...args], {
    env: { ...process.env, ...env },
    stdio: ['ignore', out, out, 'ipc'],
  })
  const exited = new Promise<void>((done) => child.once('exit', () => done()))
  return {
    process: child,
    message: new Promise((done, fail) => {
      child.once('message', (message) => done(message as Message))
      child.once('exit', (code) => fail(new Error(`${script} ended with ${code}`)))
    }),
    [Symbol.asyncDispose]: async () => {
      if (child.exitCode === null && child.signalCode === null) child.kill('SIGTERM')
      await exited
    },
  }
}
