import { describe, expect, test } from 'vitest'
import { type DescribedTool, keptTool, mergeTool } from './merge-tool.ts'

const FIRST: DescribedTool = {
  description: 'Lists pets',
  argsSchema: { type: 'object', properties: { limit: { type: 'integer', maximum: 10 } } },
  outputSchema: null,
  httpConfig: {
    method: 'GET',
    url: 'https://a.example.com/pets',
    headers: { Accept: 'application/json' },
  },
  isEnabled: true,
  approval: 'auto',
}
function merge(ours: Partial<DescribedTool>, theirs: Partial<DescribedTool>) {
  const next = { ...FIRST, ...theirs }
  return mergeTool(keptTool(FIRST), { ...FIRST, ...ours }, next, keptTool(next))
}

describe(mergeTool, () => {
  test('finds nothing changed where nothing is, in whatever order members stand', () => {
    const argsSchema = { properties: { limit: { maximum: 10, type: 'integer' } }, type: 'object' }
    expect(merge({ argsSchema }, { argsSchema })).toMatchObject({ changed: [], kept: [] })
  })

  test('takes what the document says anew, where nobody said otherwise', () => {
    const theirs = {
      description: 'Lists all pets',
      outputSchema: { type: 'array' },
      isEnabled: false,
    }
    expect(merge({}, theirs)).toEqual({
      tool: { ...FIRST, ...theirs },
      changed: ['description', 'outputSchema', 'isEnabled'],
      kept: [],
    })
  })

  test('asks as before where a person has switched on what asks, whatever the document says', () => {
    const before: DescribedTool = { ...FIRST, isEnabled: false, approval: 'ask' }
    const next: DescribedTool = { ...before, approval: 'auto' }
    const mergeAsking = (isEnabled: boolean) =>
      mergeTool(keptTool(before), { ...before, isEnabled }, next, keptTool(next))
    expect(mergeAsking(true)).toMatchObject({
      tool: { approval: 'ask' },
      changed: ['approval'],
      kept: ['isEnabled', 'approval'],
    })
    expect(mergeAsking(false)).toMatchObject({ tool: { approval: 'auto' }, kept: [] })
  })

  test('keeps what a person has changed, whatever the document says', () => {
    const ours: Partial<DescribedTool> = {
      description: 'Ours',
      argsSchema: { type: 'object' },
      isEnabled: false,
      approval: 'ask',
    }
    const theirs = { description: 'Theirs', argsSchema: { type: 'object', properties: {} } }
    const { tool, changed, kept } = merge(ours, theirs)
    expect(tool).toEqual({ ...FIRST, ...ours })
    expect(changed).toEqual(['description', 'argsSchema'])
    expect(kept).toEqual(['description', 'argsSchema', 'isEnabled', 'approval'])
  })

  test('tells a call’s members apart, headers one by one', () => {
    const config = FIRST.httpConfig
    const ours = {
      httpConfig: {
        ...config,
        timeoutMs: 900,
        headers: { Accept: 'application/json', 'X-Tenant': '7' },
      },
    }
    const theirs = {
      httpConfig: {
        ...config,
        url: 'https://b.example.com/pets',
        headers: { Accept: 'application/hal+json', 'X-Key': '{{credentials.key}}' },
      },
    }
    expect(merge(ours, theirs).tool.httpConfig).toEqual({
      method: 'GET',
      url: 'https://b.example.com/pets',
      timeoutMs: 900,
      headers: { Accept: 'application/hal+json', 'X-Key': '{{credentials.key}}', 'X-Tenant': '7' },
    })
  })

  test('drops what the document drops, and keeps what a person took out of it out', () => {
    const { headers: _, ...bare } = FIRST.httpConfig
    expect(merge({}, { httpConfig: bare }).tool.httpConfig).toEqual(bare)
    const next = { ...FIRST.httpConfig, url: 'https://b.example.com/' }
    expect(merge({ httpConfig: bare }, { httpConfig: next }).tool.httpConfig).toEqual({
      ...bare,
      url: 'https://b.example.com/',
    })
  })
})
