import { fork } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { readLedger } from './ledger.ts'
import type { Received, ReceiverNews, ReceiverOrder } from './processes/receiver.ts'

export interface ReceiverProcess extends AsyncDisposable {
  /** Without a slash at its end. */
  readonly url: string
  readonly read: () => Promise<Received[]>
  readonly trust: (path: string, secret: string) => void
  /** Kills that process right after the next 200 went out. Resolves to the webhook that was answered. */
  readonly killAfterNextAnswer: (pid: number) => Promise<string>
}

export async function startReceiver(ledgerFile: string): Promise<ReceiverProcess> {
  const child = fork(join(import.meta.dirname, 'processes/receiver.ts'), [ledgerFile], {
    execArgv: [],
  })
  const exited = once(child, 'exit')
  const tell = (order: ReceiverOrder) => void child.send(order)
  const hear = async <Kind extends ReceiverNews['kind']>(kind: Kind) => {
    for (;;) {
      const [news]: ReceiverNews[] = await once(child, 'message')
      if (news !== undefined && isKind(news, kind)) return news
    }
  }
  const { port } = await hear('listening')
  return {
    url: `http://127.0.0.1:${port}`,
    read: () => readLedger<Received>(ledgerFile),
    trust: (path, secret) => tell({ kind: 'trust', path, secret }),
    killAfterNextAnswer: async (pid) => {
      const killed = hear('killed')
      tell({ kind: 'kill', pid })
      return (await killed).id
    },
    [Symbol.asyncDispose]: async () => {
      child.kill('SIGKILL')
      await exited
    },
  }
}

function isKind<Kind extends ReceiverNews['kind']>(
  news: ReceiverNews,
  kind: Kind,
): news is Extract<ReceiverNews, { kind: Kind }> {
  return news.kind === kind
}
