import type { Produced, Subscription } from './bench.ts'
import type { Received } from './processes/receiver.ts'

export interface Compared {
  readonly emitted: number
  readonly delivered: number
  readonly lost: number
  readonly duplicates: number
  readonly problems: readonly string[]
}

const WINDOW_MS = 1000
const MAX_EXAMPLES = 3

/** What was promised to one subscription against what its receiver has: a pure comparison of the two ledgers. */
export function compare(
  produced: readonly Produced[],
  received: readonly Received[],
  subscription: Subscription,
): Compared {
  const mine = produced.filter((event) => event.orgId === subscription.orgId)
  const idsOf = (outcome: Produced['outcome']) =>
    new Set(mine.filter((event) => event.outcome === outcome).map((event) => event.id))
  const committed = idsOf('committed')
  const unknown = idsOf('unknown')
  const rolledBack = idsOf('rolled back')
  const copies = received.filter((copy) => copy.path === subscription.path)
  const arrived = new Set(copies.map((copy) => copy.id))
  const lost = [...committed].filter((id) => !arrived.has(id))
  const phantoms = [...arrived].filter((id) => !committed.has(id) && !unknown.has(id))
  const problems = [
    ...listed('lost', lost),
    ...listed(
      'arrived although rolled back',
      phantoms.filter((id) => rolledBack.has(id)),
    ),
    ...listed(
      'arrived although nobody emitted it',
      phantoms.filter((id) => !rolledBack.has(id)),
    ),
    ...listed('came with another body', changedBodies(copies)),
    ...listed('badly signed', copies.filter((copy) => copy.signature === 'bad').map(idOf)),
    ...(subscription.isOrdered ? listed('out of order', outOfOrder(mine, copies)) : []),
    ...(subscription.perSecond === null ? [] : tooFast(copies, subscription.perSecond)),
  ]
  if (copies.length > 0 && !copies.some((copy) => copy.signature === 'good')) {
    problems.push(`${subscription.path}: no signature was verified`)
  }
  return {
    emitted: committed.size,
    delivered: [...committed].length - lost.length,
    lost: lost.length,
    duplicates: copies.length - arrived.size,
    problems,
  }
}

function changedBodies(copies: readonly Received[]): string[] {
  const first = new Map<string, string>()
  const changed = new Set<string>()
  for (const { id, sha256 } of copies) {
    if ((first.get(id) ?? sha256) !== sha256) changed.add(id)
    first.set(id, sha256)
  }
  return [...changed]
}

/** Ids whose first copy came after the first copy of a later event of their conversation. */
function outOfOrder(produced: readonly Produced[], copies: readonly Received[]): string[] {
  const places = new Map<string, { conversationId: string; place: number }>()
  for (const [place, { id, conversationId, outcome }] of produced.entries()) {
    // When one of unknown outcome committed, nobody here knows.
    if (conversationId !== null && outcome === 'committed')
      places.set(id, { conversationId, place })
  }
  const last = new Map<string, number>()
  const seen = new Set<string>()
  const wrong: string[] = []
  for (const { id } of copies) {
    const known = places.get(id)
    if (known === undefined || seen.has(id)) continue
    seen.add(id)
    if ((last.get(known.conversationId) ?? -1) > known.place) wrong.push(id)
    else last.set(known.conversationId, known.place)
  }
  return wrong
}

/** One more than the limit is the network's jitter, which may bring a late one and an early one together. */
function tooFast(copies: readonly Received[], perSecond: number): string[] {
  const times = copies.map((copy) => copy.at).sort((a, b) => a - b)
  const most = times.reduce((max, at, index) => {
    const end = times.findIndex((later, other) => other > index && later - at >= WINDOW_MS)
    return Math.max(max, (end === -1 ? times.length : end) - index)
  }, 0)
  return most > perSecond + 1 ? [`${most} requests within a second, ${perSecond} are allowed`] : []
}

function idOf(copy: Received): string {
  return copy.id
}

function listed(what: string, ids: readonly string[]): string[] {
  if (ids.length === 0) return []
  return [`${ids.length} ${what}: ${ids.slice(0, MAX_EXAMPLES).join(', ')}`]
}
