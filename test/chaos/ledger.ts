import { type FileHandle, open, readFile } from 'node:fs/promises'

/** An append-only file of JSON lines. What was promised is on the disk, whoever is killed afterwards. */
export interface Ledger<Entry> extends AsyncDisposable {
  /** Resolves when the entry is on the disk. Entries that come together share one fsync. */
  readonly append: (entry: Entry) => Promise<void>
}

export async function openLedger<Entry>(path: string): Promise<Ledger<Entry>> {
  const file: FileHandle = await open(path, 'a')
  let waiting: { line: string; done: () => void; fail: (error: unknown) => void }[] = []
  let writing: Promise<void> | null = null

  async function writeAll(): Promise<void> {
    while (waiting.length > 0) {
      const batch = waiting
      waiting = []
      try {
        await file.appendFile(batch.map((one) => one.line).join(''))
        await file.datasync()
        for (const one of batch) one.done()
      } catch (error) {
        for (const one of batch) one.fail(error)
      }
    }
    writing = null
  }

  return {
    append: (entry) =>
      new Promise((done, fail) => {
        waiting.push({ line: `${JSON.stringify(entry)}\n`, done, fail })
        writing ??= writeAll()
      }),
    [Symbol.asyncDispose]: async () => {
      await writing
      await file.close()
    },
  }
}

export async function readLedger<Entry>(path: string): Promise<Entry[]> {
  const lines = (await readFile(path, 'utf8')).split('\n')
  // The last line is empty, or was never promised.
  return lines.slice(0, -1).map((line): Entry => JSON.parse(line))
}
