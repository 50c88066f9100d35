import { fork, type Serializable } from 'node:child_process'
import { closeSync, openSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import packageJson from '../../package.json' with { type: 'json' }

const root = join(import.meta.dirname, '../..')
const STOP_MS = 40_000

export interface Start {
  readonly script: string
  readonly args?: readonly string[]
  /** All of its environment, but for where programs are found, options of Node, and what `npm run` gives the allocator. */
  readonly env?: Readonly<Record<string, string>>
  /** Takes its output; unset: ours. */
  readonly logFile?: string
  /** Ends it at once. */
  readonly signal: AbortSignal
}

export interface Child<Message> extends AsyncDisposable {
  readonly pid: number
  /** Its first message. Rejects when it ends without one. */
  readonly message: Promise<Message>
  /** Sends a message, and has the next one that comes back. Rejects when it ends instead. */
  readonly ask: (message: Serializable) => Promise<Message>
  /** Throws, with the end of its log, when it has ended. */
  readonly assertRunning: () => void
}

/** Starts a script of this project in a process of its own; disposing asks it to end, and kills it if it does not. */
export function startChild<Message>(start: Start): Child<Message> {
  const out = start.logFile === undefined ? 'inherit' : openSync(start.logFile, 'a')
  const { PATH = '', NODE_OPTIONS = '' } = process.env
  const child = fork(join(root, start.script), start.args ?? [], {
    cwd: root,
    env: { ...packageJson.config, PATH, NODE_OPTIONS, ...start.env },
    stdio: ['ignore', out, out, 'ipc'],
    signal: start.signal,
    killSignal: 'SIGKILL',
  })
  if (typeof out === 'number') closeSync(out)
  let end: string | null = null
  const exited = new Promise<string>((done) => {
    child.once('exit', (code, signal) => done(`${start.script} ended with ${code ?? signal}`))
    // It did not start, or was ended by the signal; an exit may follow.
    child.on('error', (error) => done(`${start.script}: ${error.message}`))
  }).then((what) => (end = what))
  const next = () =>
    new Promise<Message>((done, fail) => {
      child.once('message', (message) => done(message as Message))
      exited.then((what) => fail(new Error(what))).catch(fail)
    })
  const message = next()
  message.catch(() => undefined)
  return {
    // There is none where it did not start; then `message` and `assertRunning` say why.
    pid: child.pid ?? 0,
    message,
    ask: (question) => {
      const answer = next()
      child.send(question)
      return answer
    },
    assertRunning: () => {
      if (end !== null) throw new Error(`${end}\n${lastLines(start.logFile)}`)
    },
    [Symbol.asyncDispose]: async () => {
      const killer = setTimeout(() => child.kill('SIGKILL'), STOP_MS)
      child.kill('SIGTERM')
      await exited
      clearTimeout(killer)
    },
  }
}

function lastLines(file: string | undefined): string {
  return file === undefined
    ? ''
    : readFileSync(file, 'utf8').trim().split('\n').slice(-5).join('\n')
}
