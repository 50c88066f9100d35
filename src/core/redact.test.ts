import { describe, expect, test } from 'vitest'
import { makeRedact } from './redact.ts'

const redact = makeRedact(['s3cret/+ "x"', 'tok-123', 'tok-123-long', '424242', 'abc', ''])

describe(makeRedact, () => {
  test.each([
    ['as it is', 'got s3cret/+ "x"!', 'got [secret]!'],
    ['URL-encoded', 'GET /?k=s3cret%2F%2B%20%22x%22', 'GET /?k=[secret]'],
    ['inside JSON text', '{"k":"s3cret/+ \\"x\\""}', '{"k":"[secret]"}'],
    ['every time', 'tok-123 tok-123', '[secret] [secret]'],
    ['whole, where another secret begins like it', 'tok-123-long', '[secret]'],
  ])('a secret is found %s', (_, text, clean) => expect(redact.text(text)).toBe(clean))

  test('texts, member names and numbers of a JSON value are cleaned at any depth', () => {
    const value = { a: [{ 'x tok-123': 'tok-123' }], pin: 424242, ok: true, none: null, n: 1.5 }
    expect(redact.json(value)).toEqual({
      a: [{ 'x [secret]': '[secret]' }],
      pin: '[secret]',
      ok: true,
      none: null,
      n: 1.5,
    })
  })

  test('a secret whose end was cut away goes with what is left of it', () => {
    expect(redact.cutText('and it was tok-123-lo')).toBe('and it was [secret]-lo')
    expect(redact.cutText('and it was s3cret/')).toBe('and it was [secret]')
    expect(redact.cutText('and it was s3')).toBe('and it was s3')
  })

  test('values that are too short for a secret stay', () => {
    expect(redact.text('abc')).toBe('abc')
  })

  test('a value without end is cut and says so', () => {
    const deep = JSON.parse(`${'['.repeat(100_000)}${']'.repeat(100_000)}`)
    expect(JSON.stringify(redact.json(deep))).toContain('[cut: nested deeper than 64 levels]')
  })
})

test.each([
  String.raw`{"a":"Bearer ab\/cd&ef+gh=="}`,
  String.raw`{"a":"Bearer ab/cd\u0026ef+gh=="}`,
  'a=ab%2fcd%26ef%2bgh%3d%3d',
])('a secret is known as others write it: %s', (text) => {
  expect(makeRedact(['ab/cd&ef+gh==']).text(text)).toContain('[secret]')
})
