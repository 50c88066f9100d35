import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { planOf, toolOf } from '../../../test/fixtures/openapi-plan.ts'
import { verdictTable } from '../../../test/fixtures/verdict-table.ts'
import { makeArgsValidator } from '../args.ts'
import { schemaProblem } from '../schema-rules.ts'

const read = (name: string) => readFileSync(`test/fixtures/openapi/${name}`, 'utf8')

describe.each([
  ['issue-tracker.yaml', ['token', 'session']],
  ['payments.json', ['basicAuth']],
  ['helpdesk.yaml', ['api_key', 'login']],
])('%s', (name, credentials) => {
  const plan = planOf(read(name), { credentials })

  test('has the verdicts that stand beside it', async () => {
    await expect(verdictTable(plan)).toMatchFileSnapshot(
      `../../../test/fixtures/openapi/${name.replace(/\..*/, '')}.verdicts.txt`,
    )
  })

  test('makes tools whose schemas keep to the rules', () => {
    const { compile } = makeArgsValidator()
    const schemas = plan.verdicts.flatMap((verdict) =>
      verdict.kind === 'tool' ? [verdict.tool.argsSchema, verdict.tool.outputSchema ?? {}] : [],
    )
    expect(schemas.length).toBeGreaterThan(10)
    expect(
      schemas.map((schema) => schemaProblem(schema, compile)).filter((one) => one !== null),
    ).toEqual([])
  })
})

test('a payment API has its forms written as it wants them', () => {
  const { httpConfig, argsSchema } = toolOf(
    planOf(read('payments.json'), { credentials: ['basicAuth'] }),
    'POST /v1/customers',
  )
  expect(httpConfig).toEqual({
    method: 'POST',
    url: 'https://api.payments.example.com/v1/customers',
    headers: {
      Accept: 'application/json',
      Authorization: 'Basic {{credentials.basicAuth|base64}}',
    },
    payload: {
      mediaType: 'application/x-www-form-urlencoded',
      encoding: {
        address: { style: 'deepObject', explode: true },
        metadata: { style: 'deepObject', explode: true },
        expand: { style: 'deepObject', explode: true },
      },
    },
    isIdempotent: true,
  })
  expect(argsSchema).toMatchObject({
    properties: {
      address: { $ref: '#/$defs/Address' },
      metadata: { additionalProperties: { type: 'string' } },
    },
    $defs: { Address: { properties: { city: { type: ['string', 'null'] } } } },
  })
})
