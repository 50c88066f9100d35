/** Where the tools of a list stand for the library, which looks at none of it. */
export const UNREAD_TOOLS = 'patchbay/tools'

/**
 * The answer to `tools/list` with its tools out of the library's sight: it would refuse all of them for one that is none. Each
 * is looked at here, by itself.
 *
 * @param answer JSON text of the message
 */
export function withUnreadTools(answer: string): string {
  const message: unknown = JSON.parse(answer)
  if (!isObject(message) || !isObject(message.result)) return answer
  const { tools, ...result } = message.result
  if (!Array.isArray(tools)) return answer
  return JSON.stringify({ ...message, result: { ...result, tools: [], [UNREAD_TOOLS]: tools } })
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
