/** For statements that are planned for their values and whose tables grow between two analyses: by index, whatever they seem to hold. */
export const INDEXED_SETTINGS: readonly string[] = ['enable_seqscan=off']

/**
 * How the sessions of a worker plan the few statements that it sends again and again: once, and then for any values.
 *
 * A queue is empty most of the time, and a plan that was made then must hold when a million rows have come: the planner's guess
 * of a table's size is of no use. So these statements leave it no choice. What is looked up stands in a subquery that a join
 * cannot be made of (`lateral (… offset 0)`, `any (array(…))`, a scalar subquery) and goes by index, because a table is not read
 * whole. Everything else is joined by its hash: row by row it would be as many comparisons as the two sides have multiplied.
 */
export const HOT_SETTINGS: readonly string[] = [
  'plan_cache_mode=force_generic_plan',
  ...INDEXED_SETTINGS,
  'enable_nestloop=off',
  // One by the first of two columns compares the second row by row: 5 times the relay's time for 2,000 types in two orgs.
  'enable_mergejoin=off',
  // What cannot be done without any of these is priced as if it took hours, and would be compiled for it.
  'jit=off',
]
