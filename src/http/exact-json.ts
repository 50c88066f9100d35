import { membersOf } from '../core/json-text.ts'

/**
 * The text of the member `data` of a body, as it was written; the last one where there are two, as in `JSON.parse`. '' where
 * there is none.
 *
 * @param body a JSON object that was parsed before
 */
export function exactData(body: string): string {
  return membersOf(body).findLast(({ name }) => name === 'data')?.value ?? ''
}
