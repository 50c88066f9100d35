/** What the quickstart reads of the API's answers. */
interface Answer {
  readonly integration: { readonly id: string }
  readonly webhook: { readonly id: string }
  readonly secret: string
  readonly tool: { readonly name: string; readonly wireName: string }
  readonly conversation: { readonly id: string }
  readonly assistantMessage: { readonly content: string }
}

/** A client as anybody would write one: plain HTTP. Throws with the API's own words. */
export function makeClient(url: string, token: string) {
  return {
    post: async (path: string, body: object): Promise<Answer> => {
      const response = await fetch(url + path, {
        method: 'POST',
        headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
        body: JSON.stringify(body),
      })
      const text = await response.text()
      if (!response.ok) throw new Error(`POST ${path} answered ${response.status}: ${text}`)
      return JSON.parse(text)
    },
  }
}
