import type { CallApp, Verification } from '../../../core/provider.ts'
import { makeRedact } from '../../../core/redact.ts'
import type { Fillings } from '../../fill.ts'
import { listMcpTools, serverOf } from './client.ts'
import { mcpError } from './mcp-failure.ts'
import type { SendMcp } from './mcp-fetch.ts'

const MAX_DETAIL_LENGTH = 600

/** Shakes hands with the server of an integration, and asks it for its tools. */
export function makeLookAtMcp(version: string) {
  return async function lookAtMcp(app: Fillings, call: CallApp): Promise<Verification> {
    const redact = makeRedact(Object.values(app.credentials))
    const problem = (reason: string): Verification => ({
      ok: false,
      detail: `The tools could not be read: ${redact.text(reason).slice(0, MAX_DETAIL_LENGTH)}. Look at the URL, the headers and the credentials.`,
    })
    const server = serverOf(app, sendBy(call))
    if ('outcome' in server) return problem(server.reason)
    const listed = await listMcpTools(server, version)
    if (!listed.ok) return problem(listed.failure.reason)
    const { tools } = listed.value
    const count = tools.length === 1 ? '1 tool' : `${tools.length} tools`
    return {
      ok: true,
      detail: `The server answered with protocol version ${listed.protocolVersion} and lists ${count}.`,
    }
  }
}

/** By the rules of calls to apps; their own time limit holds for each request. */
function sendBy(call: CallApp): SendMcp {
  return async ({ url, method, headers, body, maxBytes }) => {
    const answer = await call({ method, url, headers, body, maxBytes })
    if (!answer.isAnswer) return mcpError(answer.reason)
    const { statusCode, headers: answered = {}, isCut = false } = answer
    return { statusCode, headers: answered, body: answer.body, isCut }
  }
}
