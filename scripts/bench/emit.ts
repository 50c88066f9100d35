import type pg from 'pg'
import { EVENT_DATA, laneOrg, laneType, TYPE_OF_ALL } from './body.ts'

const BATCH = 1000

/** An event of `count`: to whom. */
export interface Emitted {
  readonly org: string
  readonly type: string
}

/** For each lane in turn. */
export const toLanes =
  (lanes: number) =>
  (nth: number): Emitted => ({ org: laneOrg(nth % lanes), type: laneType(nth % lanes) })

/** For every lane of the first org. */
export const toAll = (): Emitted => ({ org: laneOrg(0), type: TYPE_OF_ALL })

/** One transaction that emits `count` events. It has committed when this returns. */
export async function emitAtOnce(
  pool: pg.Pool,
  count: number,
  to: (nth: number) => Emitted,
): Promise<void> {
  const client = await pool.connect()
  let isBroken = true
  try {
    await client.query('begin')
    for (let first = 0; first < count; first += BATCH) {
      const size = Math.min(BATCH, count - first)
      const batch = Array.from({ length: size }, (_, i) => to(first + i))
      await client.query(
        'select count(patchbay.emit_event(org, type, $1::json)) from unnest($2::text[], $3::text[]) as e (org, type)',
        [EVENT_DATA, batch.map(({ org }) => org), batch.map(({ type }) => type)],
      )
    }
    await client.query('commit')
    isBroken = false
  } finally {
    // A transaction that broke ends with its connection.
    client.release(isBroken)
  }
}
