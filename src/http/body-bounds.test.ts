import { expect, test } from 'vitest'
import { bodyBounds } from './body-bounds.ts'

test('only an OpenAPI document may be larger than a mebibyte', () => {
  expect(bodyBounds('/orgs/acme/integrations/1/tools/import').maxBytes).toBe(5 * 1024 * 1024)
  for (const path of [
    '/orgs/acme/integrations/1/tools',
    '/x/orgs/a/integrations/1/tools/import',
    '/',
  ]) {
    expect(bodyBounds(path).maxBytes).toBe(1024 * 1024)
  }
})
