import { eventBody } from '../../src/core/event.ts'

/** Of the body that is sent, about: ids and types differ by a few bytes. */
export const BODY_BYTES = 1024

/** Far below what one org may have by default. */
export const LANES_PER_ORG = 1000

/** What every lane wants, beside its own type. */
export const TYPE_OF_ALL = 'bench.all'

const sample = {
  id: '00000000-0000-7000-8000-000000000000',
  orgId: laneOrg(0),
  type: laneType(0),
  conversationId: null,
  occurredAt: '2026-01-01T00:00:00.000Z',
}

/** What is emitted, as JSON, so that its webhook has the wanted size. */
export const EVENT_DATA = dataOf(BODY_BYTES - eventBody({ ...sample, data: dataOf(0) }).length)

/** A webhook's body as the product builds it. */
export const SAMPLE_BODY = eventBody({ ...sample, data: EVENT_DATA })

/** Each lane has an event type of its own. */
export function laneType(lane: number): string {
  return `bench.lane${lane}`
}

export function laneOrg(lane: number): string {
  return `bench${Math.floor(lane / LANES_PER_ORG)}`
}

/** The org of parts that need only one. */
export const ORG = laneOrg(0)

function dataOf(bytes: number): string {
  return JSON.stringify({ filler: 'x'.repeat(bytes) })
}
