import { setTimeout as sleep } from 'node:timers/promises'
import type { makeClient } from './client.ts'

const WAIT_MS = 30_000
const LOOK_MS = 50

interface Place {
  readonly api: ReturnType<typeof makeClient>
  /** Path of the org in the API. */
  readonly org: string
  readonly integrationId: string
  /** Of the receiver. */
  readonly url: string
}

/** A tool that somebody has to approve: a turn asks for it and says that it waits; approved, it runs, and the turn goes on. */
export async function askForApproval(
  { api, org, integrationId, url }: Place,
  line: (label: string, text: string) => void,
): Promise<void> {
  await api.post(`${org}/integrations/${integrationId}/tools`, {
    name: 'door.open',
    description: 'Opens a door',
    argsSchema: { type: 'object', properties: { door: { type: 'string' } } },
    httpConfig: { method: 'POST', url: `${url}/door` },
    approval: 'ask',
  })
  const { conversation } = await api.post(`${org}/conversations`, { title: 'The door' })
  const path = `${org}/conversations/${conversation.id}`
  const content = 'use door.open {"door":"archive"}'
  const turn = await api.post(`${path}/turns`, { content })
  line('user', content)
  line('assistant', turn.assistantMessage.content)
  const [waiting] = turn.approvals
  if (waiting === undefined) throw new Error('the call does not wait')
  const decided = await api.post(`${org}/approvals/${waiting.approvalId}`, { decision: 'approve' })
  line('approved', `by ${decided.approval.decidedBy}, over the API; a Slack button does the same`)
  const deadline = performance.now() + WAIT_MS
  while (performance.now() < deadline) {
    const { messages } = await api.get(`${path}/messages`)
    // The question, that it waits, and what came of it; the newest first.
    if (messages.length > 2) return line('assistant', messages[0]?.content ?? '')
    await sleep(LOOK_MS)
  }
  throw new Error('the turn did not go on in time')
}
