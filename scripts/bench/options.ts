import { parseArgs } from 'node:util'
import type { Size } from './part.ts'

export interface Options {
  readonly isQuick: boolean
  /** What is null is for the machine to say, see `sizeFor`. */
  readonly size: { readonly [Of in keyof Size]: number | null }
  readonly lanes: readonly number[]
  readonly repeat: number
  /** Names of parts; null: all. */
  readonly only: readonly string[] | null
  readonly json: string | undefined
  /** An earlier `--json`. */
  readonly compare: string | undefined
  /** How far a ratio may be from that one's, as a share of it. */
  readonly tolerance: number
  readonly walls: boolean
}

const FULL = {
  deliveries: undefined,
  lanes: '1,20,2000,20000',
  'warm-up': undefined,
  repeat: '3',
}
const QUICK = { deliveries: '3000', lanes: '1,20', 'warm-up': '1000', repeat: '1' }

/** An option is wrong, for a reason that who typed it can mend. */
export class OptionError extends Error {
  override readonly name = 'OptionError'
}

/** @throws OptionError that says which option is wrong */
export function parseOptions(args: readonly string[]): Options {
  try {
    return readOptions(args)
  } catch (error) {
    // What Node's parser does not know it says as a TypeError.
    throw error instanceof TypeError ? new OptionError(error.message) : error
  }
}

function readOptions(args: readonly string[]): Options {
  const { values: given } = parseArgs({
    args: [...args],
    options: {
      quick: { type: 'boolean', default: false },
      only: { type: 'string' },
      deliveries: { type: 'string' },
      lanes: { type: 'string' },
      repeat: { type: 'string' },
      'warm-up': { type: 'string' },
      json: { type: 'string' },
      compare: { type: 'string' },
      tolerance: { type: 'string', default: '10' },
      walls: { type: 'boolean', default: false },
    },
  })
  const values = { ...(given.quick ? QUICK : FULL), ...given }
  return {
    isQuick: values.quick,
    size: {
      deliveries: positiveOrNull('deliveries', values.deliveries),
      warmUp: positiveOrNull('warm-up', values['warm-up']),
    },
    lanes: values.lanes.split(',').map((lanes) => positive('lanes', lanes)),
    repeat: positive('repeat', values.repeat),
    only: values.only?.split(',') ?? null,
    json: values.json,
    compare: values.compare,
    tolerance: positive('tolerance', values.tolerance) / 100,
    walls: values.walls,
  }
}

const positiveOrNull = (name: string, text: string | undefined) =>
  text === undefined ? null : positive(name, text)

function positive(name: string, text: string): number {
  const number = Number(text)
  if (Number.isInteger(number) && number > 0) return number
  throw new OptionError(`--${name}: ${text} is not a whole number over 0`)
}
