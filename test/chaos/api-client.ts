import { setTimeout as sleep } from 'node:timers/promises'
import type { Api } from './bench.ts'

const TIMEOUT_MS = 10_000
const RETRY_MS = 100
const GIVE_UP_MS = 15_000

/**
 * Posts an event with the same Idempotency-Key until the API accepts it, as a careful client does.
 *
 * @param onAnswer gets each status, or the name of what broke
 * @returns the event's id; null when it was never accepted
 */
export async function postUntilAccepted(
  api: Pick<Api, 'url' | 'token'>,
  orgId: string,
  key: string,
  body: unknown,
  onAnswer: (answer: number | string) => void,
): Promise<string | null> {
  const deadline = performance.now() + GIVE_UP_MS
  for (;;) {
    const answer = await post(api, orgId, key, body)
    onAnswer(answer.status)
    if (answer.id !== null) return answer.id
    if (performance.now() > deadline) return null
    // A client waits before it repeats.
    await sleep(RETRY_MS)
  }
}

export interface PostAnswer {
  readonly status: number | string
  readonly id: string | null
}

export async function post(
  api: Pick<Api, 'url' | 'token'>,
  orgId: string,
  key: string,
  body: unknown,
): Promise<PostAnswer> {
  try {
    const response = await fetch(`${api.url}/orgs/${orgId}/events`, {
      method: 'POST',
      headers: {
        authorization: `Bearer ${api.token}`,
        'content-type': 'application/json',
        'idempotency-key': key,
      },
      body: JSON.stringify(body),
      signal: AbortSignal.timeout(TIMEOUT_MS),
    })
    const text = await response.text()
    return { status: response.status, id: response.status === 202 ? idOf(text) : null }
  } catch (error) {
    return { status: error instanceof Error ? error.name : 'error', id: null }
  }
}

function idOf(text: string): string {
  const { event }: { event: { id: string } } = JSON.parse(text)
  return event.id
}
