import type { ApiAnswer } from '../fixtures/api.ts'
import type { StoryOrg } from './story.ts'

/** The body of an answer; a refusal ends the test with its own words. */
export async function done(asked: Promise<ApiAnswer>): Promise<ApiAnswer['body']> {
  const { status, text, body } = await asked
  if (status >= 300) throw new Error(`HTTP ${status}: ${text}`)
  return body
}

/** What was said in the org, by conversation. */
export async function conversationsOf(org: StoryOrg): Promise<string[][]> {
  const at = `${org.path}/conversations`
  const { conversations: all } = await done(org.call('GET', at))
  const ids: string[] = all.map(({ id }: { id: string }) => id)
  return Promise.all(
    ids.toReversed().map(async (id) => {
      const { messages } = await done(org.call('GET', `${at}/${id}/messages`))
      return messages.map(({ content }: { content: string }) => content).toReversed()
    }),
  )
}
