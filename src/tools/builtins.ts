import { invalidField } from '../core/error.ts'
import type { JsonSchema } from './args.ts'

export interface BuiltinContext {
  readonly orgId: string
  readonly conversationId: string | null
}

/** A tool that Patchbay itself brings. */
export interface BuiltinTool {
  readonly name: string
  readonly wireName: string
  readonly description: string
  readonly argsSchema: JsonSchema
  /** What it takes to run it: one that reads conversations is for who may read them. */
  readonly permission: 'org:tools:use' | 'org:chat'
  /** Arguments fit the schema already. Throws AppError with a message for the model. */
  readonly run: (
    context: BuiltinContext,
    args: Readonly<Record<string, unknown>>,
  ) => Promise<unknown>
}

/** Whether who asks, and may use tools, may do that too. */
export type May = (permission: 'org:chat') => Promise<boolean>

/** Those of the built-in tools that are there for who asks. */
export async function builtinsFor(
  builtins: readonly BuiltinTool[],
  may: May,
): Promise<BuiltinTool[]> {
  const isFor = await Promise.all(
    builtins.map(({ permission }) => permission === 'org:tools:use' || may(permission)),
  )
  return builtins.filter((_, at) => isFor[at])
}

export interface FoundMessage {
  readonly conversationId: string
  readonly role: string
  readonly content: string
  readonly createdAt: string
}

interface BuiltinDeps {
  readonly now: () => Date
  readonly searchMessages: (
    orgId: string,
    conversationId: string | null,
    query: string,
    limit: number,
  ) => Promise<FoundMessage[]>
}

export function makeBuiltins({ now, searchMessages }: BuiltinDeps): readonly BuiltinTool[] {
  return [
    {
      name: 'clock.now',
      wireName: 'clock_now',
      description: 'The current date and time, in a time zone if one is given.',
      permission: 'org:tools:use',
      argsSchema: {
        type: 'object',
        properties: {
          timeZone: { type: 'string', description: 'IANA name, like Europe/Zurich. Default: UTC.' },
        },
        additionalProperties: false,
      },
      run: async (_, args) => tellTime(now(), args.timeZone),
    },
    {
      name: 'conversation.search',
      wireName: 'conversation_search',
      description: 'Finds earlier messages of the conversation that contain a text.',
      permission: 'org:chat',
      argsSchema: {
        type: 'object',
        properties: {
          query: { type: 'string', minLength: 1, maxLength: 200, description: 'Text to look for.' },
          limit: { type: 'integer', minimum: 1, maximum: 20, description: 'Default: 5.' },
        },
        required: ['query'],
        additionalProperties: false,
      },
      run: async (context, args) => {
        const limit = typeof args.limit === 'number' ? args.limit : 5
        const query = String(args.query)
        return {
          messages: await searchMessages(context.orgId, context.conversationId, query, limit),
        }
      },
    },
  ]
}

function tellTime(now: Date, zone: unknown) {
  const timeZone = typeof zone === 'string' ? zone : 'UTC'
  const format = (options: Intl.DateTimeFormatOptions) => {
    try {
      return new Intl.DateTimeFormat('en-GB', { timeZone, ...options }).format(now)
    } catch {
      throw invalidField('timeZone', `${JSON.stringify(timeZone)} is not an IANA time zone`)
    }
  }
  return {
    iso: now.toISOString(),
    timeZone,
    weekday: format({ weekday: 'long' }),
    local: format({ dateStyle: 'full', timeStyle: 'long' }),
  }
}
