/** What the quickstart reads of the API's answers. */
interface Answer {
  readonly integration: { readonly id: string }
  readonly webhook: { readonly id: string }
  readonly secret: string
  readonly tool: { readonly name: string; readonly wireName: string }
  readonly conversation: { readonly id: string }
  readonly assistantMessage: { readonly content: string }
  readonly approvals: readonly { readonly approvalId: string }[]
  readonly approval: { readonly decidedBy: string }
  readonly messages: readonly { readonly content: string }[]
  readonly events: readonly { readonly id: string }[]
  readonly verdict: string
  readonly reason: string
  readonly recovery: { readonly matched: number }
}

/** A client as anybody would write one: plain HTTP. Throws with the API's own words. */
export function makeClient(url: string, token: string) {
  async function call(method: string, path: string, body: object | null): Promise<Answer> {
    const response = await fetch(url + path, {
      method,
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
      ...(body === null ? {} : { body: JSON.stringify(body) }),
    })
    const text = await response.text()
    if (!response.ok) throw new Error(`${method} ${path} answered ${response.status}: ${text}`)
    return JSON.parse(text)
  }
  return {
    get: (path: string) => call('GET', path, null),
    post: (path: string, body: object) => call('POST', path, body),
  }
}
