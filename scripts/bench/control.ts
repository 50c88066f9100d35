import type { Counts } from './receiver.ts'

/** Talks to the receiver's process. */
export function makeControl(receiverUrl: string) {
  const post = async (path: string, body: unknown): Promise<void> => {
    await fetch(`${receiverUrl}/control/${path}`, { method: 'POST', body: JSON.stringify(body) })
  }
  return {
    /** Signing secrets by path. */
    trust: (secrets: Readonly<Record<string, string>>) => post('secrets', secrets),
    reset: () => post('reset', {}),
    counts: async (): Promise<Counts> => {
      const response = await fetch(`${receiverUrl}/control/counts`)
      const counts: Counts = JSON.parse(await response.text())
      return counts
    },
  }
}
