import type { Reply } from './http.ts'

export interface Fault {
  /** How the paths begin that it is for: `/api/chat.postMessage`, `/services/`. */
  readonly path: string
  readonly status?: number
  readonly body?: string
  readonly headers?: Readonly<Record<string, string>>
  /** How many requests it lasts. */
  readonly times?: number
}

export interface Faults {
  readonly failNext: (fault: Fault) => void
  /** Takes the request, and never answers it. */
  readonly hangNext: (fault: Pick<Fault, 'path' | 'times'>) => void
  /** undefined: this request goes its way; null: nobody answers it. */
  readonly take: (path: string) => Reply | null | undefined
}

/** What goes wrong on demand, oldest first. */
export function makeFaults(): Faults {
  const waiting: { path: string; reply: Reply | null; left: number }[] = []
  return {
    failNext: ({ path, status = 500, body = '', headers = {}, times = 1 }) => {
      waiting.push({ path, reply: { status, body, headers }, left: times })
    },
    hangNext: ({ path, times = 1 }) => {
      waiting.push({ path, reply: null, left: times })
    },
    take: (path) => {
      const fault = waiting.find((one) => one.left > 0 && path.startsWith(one.path))
      if (fault === undefined) return undefined
      fault.left -= 1
      return fault.reply
    },
  }
}
