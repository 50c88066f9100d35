import type { TestApi } from '../fixtures/api.ts'
import type { Answer } from '../fixtures/receiver.ts'

const FAILURE = 'This tool intentionally returns an error for testing'

/** What the endpoint of each tool answers, by its path. */
export const answerOfTool: Answer = (response, { url }) => {
  if (url === '/test_error_handling') {
    response.writeHead(500, { 'content-type': 'text/plain' }).end(FAILURE)
  } else {
    response.writeHead(200, { 'content-type': 'text/plain' })
    response.end('This is a simple text response for testing.')
  }
}

/** The tools that the scenarios call, those of them that an HTTP endpoint can be: each calls its own path. */
const TOOLS: Readonly<Record<string, object>> = {
  test_simple_text: {},
  test_error_handling: {},
  // Nothing that an HTTP tool of ours does may turn into log lines or requests to the client.
  test_logging_tool: {},
  test_streaming_elicitation: {},
  // What ours ask a person for is whether they may run.
  test_input_required_result_elicitation: { approval: 'ask' },
  test_input_required_result_tampered_state: { approval: 'ask' },
  test_input_required_result_request_state: { approval: 'ask' },
}

export async function defineTools(
  api: TestApi,
  { orgId, token }: { readonly orgId: string; readonly token: string },
  endpoint: string,
): Promise<void> {
  const post = async (path: string, json: unknown) => {
    const { status, text, body } = await api.call('POST', `/orgs/${orgId}${path}`, { token, json })
    if (status !== 201) throw new Error(`${path}: ${status} ${text}`)
    return body
  }
  const { integration } = await post('/integrations', {
    providerKey: 'generic-webhook',
    name: 'Tools',
  })
  for (const [name, more] of Object.entries(TOOLS)) {
    await post(`/integrations/${integration.id}/tools`, {
      name,
      description: 'A tool of the conformance suite.',
      argsSchema: { type: 'object' },
      httpConfig: { method: 'POST', url: `${endpoint}/${name}` },
      ...more,
    })
  }
}
