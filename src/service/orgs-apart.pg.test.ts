import { globSync, readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { ORGS, type OrgId } from '../../test/fixtures/plots.ts'
import { type Told, tellStory } from '../../test/fixtures/shared-story.ts'

/**
 * No statement of the hot path or of the API joins two orgs. What a statement joins can hardly be read from its text: most of
 * them name ids, not orgs. So it is shown by what they do. One story, in which every statement of the worker and every route
 * takes part, is told three times: once in a database that two orgs share, and once for each of them in a database of its
 * own, where the other has no rows at all. What an org is answered and every row it has must come out the same, chapter by
 * chapter: then nothing of one org was found, counted, changed or waited for on behalf of the other, and a database can be
 * divided between them.
 *
 * Whatever a row could be taken for another org's by (people, conversations, keys, types, URLs, names) is the same in both,
 * what stands in it is not, and each statement of the worker's has rows of both in hand. The worker sees every org here, as in
 * production. The API has row-level security behind it, in production too: a condition that one of its statements lacks is
 * made up for there, and not seen here.
 *
 * How soon an org gets what is its own depends on the others by design (a claim shares its slots, a batch of the relay ends
 * somewhere), and is left out: there is room for all.
 */
const shared = await tellStory(ORGS)
const own = new Map<OrgId, Told>()
for (const orgId of ORGS) own.set(orgId, await tellStory([orgId]))

/** Chapters and answers of an org. */
const chaptersOf = (told: Told | undefined, orgId: string) => Object.entries(told?.of[orgId] ?? {})

test.each(ORGS)('%s fares in a database that it shares as in one of its own', (orgId) => {
  const alone = new Map(chaptersOf(own.get(orgId), orgId))
  const chapters = chaptersOf(shared, orgId)
  expect(chapters.map(([chapter]) => chapter)).toEqual([...alone.keys()])
  for (const [chapter, told] of chapters) expect(told, chapter).toEqual(alone.get(chapter))
})

test('every prepared statement of relay and delivery takes part', () => {
  const names = globSync('src/{outbox,delivery}/*.ts').flatMap((file) =>
    [...readFileSync(file, 'utf8').matchAll(/\bname: '([a-z_]+)'/g)].map(([, name]) => name),
  )
  expect(names.length).toBeGreaterThan(9)
  expect([...shared.ran].toSorted()).toEqual(names.toSorted())
})

test('every route that belongs to an org takes part, and answers with what it was asked for', () => {
  // Their integrations are no MCP servers. What the route does for those, and for another org's: refresh-tools.pg.test.ts
  const refresh = 'POST /orgs/{orgId}/integrations/{integrationId}/tools/refresh'
  expect([...shared.refused]).toEqual([[refresh, 422]])
  expect(shared.answered.size).toBeGreaterThan(40)
})

test('every table of orgs has rows of both at some time', () => {
  for (const orgId of ORGS) {
    const seen = new Map<string, boolean>()
    for (const [, told] of chaptersOf(shared, orgId)) {
      for (const [table, rows] of Object.entries(Object(told))) {
        if (Array.isArray(rows)) seen.set(table, seen.get(table) === true || rows.length > 0)
      }
    }
    expect(seen.size).toBeGreaterThan(20)
    expect([...seen].filter(([, isFilled]) => !isFilled)).toEqual([])
  }
})
