import type { Model, ModelTurn } from './model.ts'

const USE = /^\s*use\s+([A-Za-z][A-Za-z0-9_.-]*)\s*(\{[\s\S]*\})?\s*$/i

/**
 * A model for trying the product without one: deterministic, calls a tool when it is told to (`use <tool> {json}`), and says
 * that it is a demo.
 */
export const demoModel: Model = {
  name: 'demo',
  respond: async (turn) => {
    const content = await answer(turn)
    for (const [word] of content.matchAll(/\S+\s*/g)) turn.onDelta(word)
    return { content }
  },
}

async function answer({ messages, tools, runTool }: ModelTurn): Promise<string> {
  const said = messages.at(-1)?.content ?? ''
  const command = USE.exec(said)
  if (command === null) {
    const names = tools.map((tool) => tool.name).join(', ')
    return `This is Patchbay's built-in demo model: it has no mind of its own. You wrote ${said.length} characters. Try \`use clock.now {}\`; the tools here are ${names}.`
  }
  const [, name = '', json = '{}'] = command
  const args = parse(json)
  if (args === null) return `Demo model: the arguments after \`use ${name}\` are not a JSON object.`
  const { isOk, content } = await runTool(name, args)
  return isOk ? `Demo model: ${name} returned ${content}` : `Demo model: ${name} failed: ${content}`
}

function parse(json: string): unknown {
  try {
    return JSON.parse(json)
  } catch {
    return null
  }
}
