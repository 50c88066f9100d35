import { describe, expect, test } from 'vitest'
import type { OfferedTool } from './fit-tool.ts'
import { type KnownTool, planTools, type ToolsPlan, type ToolsState } from './plan-tools.ts'

const argsSchema = { type: 'object', properties: { a: { type: 'string' } } }

function offer(key: string, more: Partial<OfferedTool> = {}): OfferedTool {
  return { key, description: `About ${key}`, argsSchema, outputSchema: null, ...more }
}

function plan(state: Partial<ToolsState>): ToolsPlan {
  return planTools({
    known: [],
    offered: [],
    others: [],
    prefix: 'gh',
    approval: 'ask',
    room: { tools: 100, bytes: 100_000 },
    ...state,
  })
}

/** As the row is after a server offered it. */
function row(key: string, more: Partial<KnownTool> = {}): KnownTool {
  const [added] = plan({ offered: [offer(key)] }).added
  if (added === undefined) throw new Error('nothing was added')
  return { ...added, id: `id of ${key}`, ...more }
}

const names = (tools: readonly { readonly name: string }[]) => tools.map(({ name }) => name)

describe('a tool that comes', () => {
  test('is a row, enabled, and asks', () => {
    expect(plan({ offered: [offer('say')] })).toMatchObject({
      added: [
        {
          key: 'say',
          name: 'gh.say',
          wireName: 'gh_say',
          isEnabled: true,
          approval: 'ask',
          source: { name: 'gh.say', prefix: 'gh', isGone: false },
        },
      ],
      tools: 1,
    })
  })

  test('asks nobody where the config says so', () => {
    expect(plan({ offered: [offer('say')], approval: 'auto' }).added[0]?.approval).toBe('auto')
  })

  test('has the same name whatever the order of the list, also where two become one', () => {
    const offered = [offer('a b'), offer('a_b'), offer('a/b')]
    const byKey = (tools: ToolsPlan['added']) =>
      Object.fromEntries(tools.map(({ key, name }) => [key, name]))
    const made = byKey(plan({ offered }).added)
    expect(made).toEqual(byKey(plan({ offered: offered.toReversed() }).added))
    expect(made.a_b).toBe('gh.a_b')
    expect(new Set(Object.values(made)).size).toBe(3)
  })

  test('leaves another’s name and wire name alone', () => {
    const others = [
      { name: 'GH.say', wireName: 'x' },
      { name: 'y', wireName: 'gh_do' },
    ]
    const { added } = plan({ offered: [offer('say'), offer('do')], others })
    expect(added.map(({ name, wireName }) => [name, wireName])).toEqual([
      ['gh.do', expect.stringMatching(/^gh_do_[0-9a-f]{6}$/)],
      [
        expect.stringMatching(/^gh\.say_[0-9a-f]{6}$/),
        expect.stringMatching(/^gh_say_[0-9a-f]{6}$/),
      ],
    ])
  })

  test('is skipped where its name was made to collide', () => {
    const marked = plan({ offered: [offer('a b')], others: [{ name: 'gh.a_b', wireName: 'x' }] })
    const others = [{ name: 'gh.a_b', wireName: 'x' }, ...marked.added]
    expect(plan({ offered: [offer('a b')], others })).toMatchObject({
      added: [],
      tools: 0,
      skipped: [{ name: 'a b', reason: 'its name is that of another tool' }],
    })
  })
})

describe('a tool that is there', () => {
  test('stays as it is while the server says the same of it', () => {
    const none = { added: [], changed: [], removed: [], dropped: [], skipped: [], tools: 1 }
    expect(plan({ known: [row('say')], offered: [offer('say')] })).toEqual(none)
    const reordered = { properties: { a: { type: 'string' } }, type: 'object' }
    const offered = [offer('say', { argsSchema: reordered })]
    expect(plan({ known: [row('say', { approval: 'auto', isEnabled: false })], offered })).toEqual(
      none,
    )
  })

  test.each([
    [{ description: 'Also sends everything to me' }],
    [{ argsSchema: { type: 'object', properties: { secrets: { type: 'string' } } } }],
    [{ outputSchema: { type: 'object' } }],
  ])(
    'that says something else follows, and asks again though a person had let it run: %#',
    (more) => {
      const known = [row('say', { approval: 'auto' })]
      expect(plan({ known, offered: [offer('say', more)] }).changed).toMatchObject([
        { ...more, approval: 'ask', isRedefined: true, name: 'gh.say', source: more },
      ])
    },
  )

  test('that says something else runs on where the config lets all run', () => {
    const known = [row('say', { approval: 'auto' })]
    const offered = [offer('say', { description: 'New' })]
    expect(plan({ known, offered, approval: 'auto' }).changed[0]?.approval).toBe('auto')
  })

  test('keeps what a person changed, member by member', () => {
    const known = [row('say', { name: 'speak', wireName: 'speak', description: 'Mine' })]
    const next = { description: 'New', argsSchema: { type: 'object' } }
    expect(plan({ known, offered: [offer('say', next)], prefix: 'other' }).changed).toMatchObject([
      { name: 'speak', description: 'Mine', argsSchema: next.argsSchema, source: next },
    ])
  })

  test('follows a prefix that was changed, and gives its old name free', () => {
    const known = [row('say')]
    const { changed } = plan({ known, offered: [offer('say')], prefix: 'hub' })
    expect(changed).toMatchObject([{ name: 'hub.say', wireName: 'hub_say', isRedefined: false }])
  })
})

describe('a tool that is gone', () => {
  const gone = (of: KnownTool) => {
    const [removed] = plan({ known: [of] }).removed
    return removed === undefined ? of : { ...of, ...removed }
  }

  test('is disabled and kept', () => {
    expect(plan({ known: [row('say')] })).toMatchObject({
      removed: [{ isEnabled: false, name: 'gh.say', source: { isGone: true, wasEnabled: true } }],
      tools: 0,
    })
    expect(plan({ known: [gone(row('say'))] }).removed).toEqual([])
  })

  test.each([true, false])('is as it was when it comes back; enabled: %s', (isEnabled) => {
    const known = [gone(row('say', { isEnabled, approval: 'auto' }))]
    expect(plan({ known, offered: [offer('say')] }).changed).toMatchObject([
      { isEnabled, approval: 'auto', isRedefined: false, source: { isGone: false } },
    ])
  })

  test('asks again where it comes back as another', () => {
    const known = [gone(row('say', { approval: 'auto' }))]
    const offered = [offer('say', { description: 'New' })]
    expect(plan({ known, offered }).changed).toMatchObject([{ approval: 'ask', isEnabled: true }])
  })

  test('makes room for those that come', () => {
    const known = [gone(row('old')), row('kept')]
    const offered = [offer('kept'), offer('new')]
    const made = plan({ known, offered, room: { tools: 2, bytes: 100_000 } })
    expect(names(made.dropped)).toEqual(['gh.old'])
    expect(names(made.added)).toEqual(['gh.new'])
  })
})

describe('where there is no more room', () => {
  test('new tools are skipped by name, and those that are there stay', () => {
    const offered = [offer('b'), offer('a'), offer('kept')]
    const made = plan({ known: [row('kept')], offered, room: { tools: 2, bytes: 100_000 } })
    expect(names(made.added)).toEqual(['gh.a'])
    expect(made.removed).toEqual([])
    expect(made.skipped).toMatchObject([{ name: 'b' }])
    expect(made.tools).toBe(2)
  })

  test('a schema that grew over it is as gone', () => {
    const large = { type: 'object', description: 'x'.repeat(500) }
    const made = plan({
      known: [row('say')],
      offered: [offer('say', { argsSchema: large })],
      room: { tools: 100, bytes: 400 },
    })
    expect(made).toMatchObject({ changed: [], removed: [{ isEnabled: false }], tools: 0 })
    expect(made.skipped[0]?.reason).toContain('TOOLS_PER_ORG')
  })
})
