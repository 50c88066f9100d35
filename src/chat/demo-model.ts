import type { Model, ModelTurn } from './model.ts'

const USE = /^use\s+([^\s{]+)\s*([\s\S]*)$/i
/** What a turn goes on with. */
const TOLD = /^\[From Patchbay, not from the user\] ([\s\S]*)\n.*$/
const MAX_NAMES = 20

/**
 * A model for trying the product without one: deterministic, calls a tool when it is told to (`use <tool> {json}`), and says
 * that it is a demo.
 */
export const demoModel: Model = {
  name: 'demo',
  respond: async (turn) => {
    const content = await answer(turn)
    for (const [word] of content.matchAll(/\s*\S+\s*/g)) turn.onDelta(word)
    return { content }
  },
}

async function answer({ messages, tools, runTool }: ModelTurn): Promise<string> {
  const said = (messages.at(-1)?.content ?? '').trim()
  const [, told] = TOLD.exec(said) ?? []
  if (told !== undefined) return `Demo model: ${told}`
  const command = USE.exec(said)
  if (command === null) {
    const names = tools.slice(0, MAX_NAMES).map((tool) => tool.name)
    const more = tools.length > names.length ? ` and ${tools.length - names.length} more` : ''
    return `This is Patchbay's built-in demo model: it has no mind of its own. You wrote ${said.length} characters. Try \`use clock.now {}\`; the tools here are ${names.join(', ')}${more}.`
  }
  const [, name = '', json = ''] = command
  const args = parseObject(json.trim() === '' ? '{}' : json)
  if (args === null) return `Demo model: what follows \`use ${name}\` is not a JSON object.`
  const { isOk, isWaiting, content } = await runTool(name, args)
  if (isWaiting === true) return `Demo model: ${content}`
  return isOk ? `Demo model: ${name} returned ${content}` : `Demo model: ${name} failed: ${content}`
}

function parseObject(json: string): object | null {
  try {
    const value: unknown = JSON.parse(json)
    return typeof value === 'object' && !Array.isArray(value) ? value : null
  } catch {
    return null
  }
}
