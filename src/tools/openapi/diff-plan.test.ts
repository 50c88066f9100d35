import { expect, test } from 'vitest'
import { document, type Json, planOf } from '../../../test/fixtures/openapi-plan.ts'
import { diffPlan, type Step, type StoredTool } from './diff-plan.ts'

const PATHS = { '/a': { get: { operationId: 'a' } }, '/b': { get: { operationId: 'b' } } }

function diff(
  paths: Json,
  stored: readonly StoredTool[] = [],
  more: Partial<Parameters<typeof diffPlan>[0]> = {},
) {
  const plan = planOf(document(paths))
  return diffPlan({
    plan,
    stored,
    picked: null,
    isHostGiven: false,
    urlProblem: () => null,
    isNameTaken: () => false,
    ...more,
  })
}

/** As they are stored when the steps are done. */
function store(steps: readonly Step[], before: readonly StoredTool[] = []): StoredTool[] {
  const after = new Map(before.map((tool) => [tool.sourceKey, tool]))
  for (const step of steps) {
    const { operation } = step
    if (step.kind === 'add') {
      const { source, tool } = step
      after.set(operation, { id: operation, sourceKey: operation, source, ...tool })
    } else if (step.kind === 'change') {
      after.set(operation, { ...step.stored, ...step.merged.tool, source: step.source })
    } else if (step.kind === 'remove') {
      after.set(operation, { ...step.stored, isEnabled: false, source: step.source })
    }
  }
  return [...after.values()]
}

const kinds = (steps: readonly Step[]) => steps.map(({ kind, operation }) => `${kind} ${operation}`)

test('17: a document that comes again is added, kept, changed, removed and back', () => {
  const first = diff(PATHS)
  expect(kinds(first)).toEqual(['add GET /a', 'add GET /b'])
  const stored = store(first)
  expect(kinds(diff(PATHS, stored))).toEqual(['keep GET /a', 'keep GET /b'])
  const changed = diff(
    { '/a': { get: { operationId: 'other', summary: 'New' } }, '/c': { get: {} } },
    stored,
  )
  expect(kinds(changed)).toEqual(['change GET /a', 'add GET /c', 'remove GET /b'])
  const next = store(changed, stored)
  expect(next.map(({ name, isEnabled }) => `${name} ${isEnabled}`)).toEqual([
    'a true',
    'b false',
    'get_c true',
  ])
  const back = diff(PATHS, next)
  expect(kinds(back)).toEqual(['change GET /a', 'change GET /b', 'remove GET /c'])
  expect(store(back, next)).toMatchObject([
    { name: 'a' },
    { name: 'b', isEnabled: true },
    { isEnabled: false },
  ])
})

test('a tool whose operation is gone is removed once, and not again when somebody switched it on', () => {
  const stored = store(diff(PATHS))
  const removed = store(diff({}, stored), stored)
  expect(diff({}, removed)).toEqual([])
  expect(
    diff(
      {},
      removed.map((tool) => ({ ...tool, isEnabled: true })),
    ),
  ).toEqual([])
})

test('operations of one name, or of a name that is taken, get names of their own', () => {
  const twice = {
    '/a': { get: { operationId: 'Same' } },
    '/b': { get: { operationId: 'same' } },
    '/c': { get: { operationId: 'taken' } },
  }
  const steps = diff(twice, [], { isNameTaken: (name) => name === 'taken' })
  expect(steps).toMatchObject([
    { tool: { name: 'Same' }, warnings: [] },
    { tool: { name: 'same_2' }, warnings: ['there is a tool named same, so this one is same_2'] },
    { tool: { name: 'taken_2' } },
  ])
})

test('only what is picked, by key or by id, has a step; and nothing is removed', () => {
  const stored = store(diff(PATHS))
  const steps = diff({ ...PATHS, '/c': { get: { operationId: 'c' } } }, stored, {
    picked: ['GET /a', 'c', 'd'],
  })
  expect(kinds(steps)).toEqual(['keep GET /a', 'skip GET /b', 'add GET /c', 'skip d'])
})

test('a tool of another source is not touched', () => {
  const [a] = store(diff(PATHS))
  if (a === undefined) throw new Error('no tool')
  const foreign = { ...a, source: { kind: 'mcp' } }
  expect(kinds(diff(PATHS, [foreign]))).toEqual(['skip GET /a', 'add GET /b'])
  expect(diff({}, [foreign])).toEqual([])
})

test('a URL that may not be called is a verdict', () => {
  const steps = diff(PATHS, [], { urlProblem: ({ name }) => (name === 'a' ? 'is private' : null) })
  expect(steps).toMatchObject([
    { kind: 'skip', reason: 'cannot be called: its URL is private' },
    { kind: 'add' },
  ])
})
