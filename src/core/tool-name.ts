export const TOOL_NAME = /^[a-zA-Z][a-zA-Z0-9_.-]{0,127}$/
export const WIRE_NAME = /^[a-zA-Z][a-zA-Z0-9_-]{0,63}$/

const MAX_WIRE_LENGTH = 64

/**
 * The name that every model API accepts for a tool (OpenAI's and Anthropic's rule, which has no dots): computed once when
 * the tool is defined, stored, never derived again.
 *
 * @param digest hex digest of the name: makes a cut name, or one that another tool has already, distinct
 * @param isTaken whether another tool of the org has this wire name
 */
export function wireNameOf(
  name: string,
  digest: string,
  isTaken: (wireName: string) => boolean,
): string {
  const plain = name.replace(/[^a-zA-Z0-9_-]/g, '_')
  const mark = `_${digest.slice(0, 6)}`
  if (plain.length > MAX_WIRE_LENGTH) {
    const room = MAX_WIRE_LENGTH - mark.length - 2
    const head = Math.ceil(room * 0.6)
    return `${plain.slice(0, head)}__${plain.slice(head - room)}${mark}`
  }
  return isTaken(plain) ? plain.slice(0, MAX_WIRE_LENGTH - mark.length) + mark : plain
}
