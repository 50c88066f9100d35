import { setTimeout as sleep } from 'node:timers/promises'

export interface Patchbay {
  readonly url: string
  readonly orgId: string
  /** An API key with `org:tools:use`, or the token of the user who asks. */
  readonly token: string
}

export interface ToolCall {
  /** The model's id of the call; where the model's server numbers its calls, with an id of the turn before it. */
  readonly id: string
  readonly name: string
  /** An object, or JSON text as some APIs give it. */
  readonly args: unknown
  readonly conversationId: string
}

/** The org's tools in the shape of a model's API, ready for its request. */
export async function listTools<Tool>(patchbay: Patchbay, format: string): Promise<Tool[]> {
  const response = await call(patchbay, 'GET', `/tools?format=${format}`)
  const body = JSON.parse(await response.text())
  if (response.ok) return body.tools
  throw new Error(`Patchbay: ${body.detail}`)
}

/** Runs a tool. What comes of it is text for the model, which mends its own mistakes; anything else is thrown. */
export async function runTool(patchbay: Patchbay, { id, name, args, conversationId }: ToolCall) {
  const given = typeof args === 'string' ? parse(args) : args
  if (given === undefined) return { isError: true, text: 'The arguments are not JSON.' }
  const path = `/tools/${encodeURIComponent(name)}/execute`
  for (let tries = 1; ; tries += 1) {
    const response = await call(patchbay, 'POST', path, { args: given, conversationId }, id)
    const body = JSON.parse(await response.text())
    switch (response.status) {
      case 200:
        return { isError: false, text: JSON.stringify(body.result) }
      case 202:
        return { isError: false, text: waitingText(body.approval), approval: body.approval }
      case 400: // The arguments do not fit: the text names each that is wrong.
      case 403: // A person has denied this call, or the token may not make it.
      case 404: // No such tool: the text names those that are like it.
      case 502: // The tool failed.
      case 504: // The tool did not answer in time.
        return { isError: true, text: String(body.detail) }
      case 409: // Asked twice at once: the first is still running.
      case 429: // Too many runs.
      case 503: {
        // Patchbay is being restarted, or its database is away.
        const waitS = Number(response.headers.get('retry-after') ?? tries)
        if (tries === 5 || waitS > 10) return { isError: true, text: `Busy: ${body.detail}` }
        await sleep(waitS * 1000)
        break
      }
      default:
        throw new Error(`Patchbay: HTTP ${response.status}: ${body.detail}`)
    }
  }
}

function waitingText({ tool, expiresAt }: { tool: string; expiresAt: string }): string {
  return `${tool} was not run yet: a person has to approve it until ${expiresAt}. Tell the user so, do not call it again.`
}

function call(at: Patchbay, method: string, path: string, body?: object, key?: string) {
  return fetch(`${at.url}/orgs/${encodeURIComponent(at.orgId)}${path}`, {
    method,
    headers: {
      authorization: `Bearer ${at.token}`,
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      ...(key === undefined ? {} : { 'idempotency-key': key }),
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  })
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text === '' ? '{}' : text)
  } catch {
    return undefined
  }
}
