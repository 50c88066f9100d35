import { createHash } from 'node:crypto'
import type { Operation } from './operation.ts'

const MAX_LENGTH = 128
const MARK_LENGTH = 6

/** The name of a tool for an operation: its `operationId`, or method and path, as tools may be named. Not yet one of its own. */
export function operationName({ operationId, method, path }: Operation): string {
  const wanted = operationId ?? `${method.toLowerCase()}${path}`.replace(/[^a-zA-Z0-9.-]+/g, '_')
  const plain = wanted.replace(/[^a-zA-Z0-9_.-]+/g, '_').replace(/^[_.-]+|[_.-]+$/g, '')
  const named = /^[a-zA-Z]/.test(plain) ? plain : `${method.toLowerCase()}_${plain}`
  if (named.length <= MAX_LENGTH) return named
  const mark = createHash('sha256').update(wanted).digest('hex').slice(0, MARK_LENGTH)
  return `${named.slice(0, MAX_LENGTH - MARK_LENGTH - 1)}_${mark}`
}

/**
 * Gives each the name itself, or with the first number behind it that makes it one of its own.
 *
 * @param isTaken whatever the case
 */
export function makeFreeNames(isTaken: (name: string) => boolean) {
  const given = new Set<string>()
  const next = new Map<string, number>()
  return function giveName(name: string): string {
    for (let number = next.get(name) ?? 1; ; number += 1) {
      const suffix = number === 1 ? '' : `_${number}`
      const candidate = name.slice(0, MAX_LENGTH - suffix.length) + suffix
      if (given.has(candidate.toLowerCase()) || isTaken(candidate)) continue
      given.add(candidate.toLowerCase())
      next.set(name, number + 1)
      return candidate
    }
  }
}
