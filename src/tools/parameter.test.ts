import { describe, expect, test } from 'vitest'
import {
  type ToolParameter,
  toolParameter,
  writeHeader,
  writePath,
  writeQuery,
} from './parameter.ts'

const COLOUR = { empty: '', list: ['blue', 'black'], object: { R: 100, G: 200 } }
type Style = ToolParameter['style']

const parameter = (place: ToolParameter['in'], style: Style, explode: boolean | undefined) =>
  toolParameter.parse({
    arg: 'colour',
    in: place,
    name: 'color',
    ...(style === undefined ? {} : { style }),
    ...(explode === undefined ? {} : { explode }),
  })

// The table of the standard, brackets and delimiters encoded. [OpenAPI 3.1 §4.8.12.4]
test.each<[Style, boolean | undefined, string, string]>([
  [undefined, undefined, 'color=blue&color=black', 'R=100&G=200'],
  ['form', false, 'color=blue,black', 'color=R,100,G,200'],
  ['spaceDelimited', false, 'color=blue%20black', 'color=R%20100%20G%20200'],
  ['pipeDelimited', false, 'color=blue%7Cblack', 'color=R%7C100%7CG%7C200'],
  ['pipeDelimited', true, 'color=blue&color=black', 'R=100&G=200'],
  ['deepObject', true, 'color%5B0%5D=blue&color%5B1%5D=black', 'color%5BR%5D=100&color%5BG%5D=200'],
])(
  'a query parameter of style %s, explode %s, is written as the standard says',
  (style, explode, list, object) => {
    const one = parameter('query', style, explode)
    expect(writeQuery(one, COLOUR.empty)).toEqual(['color='])
    expect(writeQuery(one, COLOUR.list).join('&')).toBe(list)
    expect(writeQuery(one, COLOUR.object).join('&')).toBe(object)
    expect([
      ...writeQuery(one, undefined),
      ...writeQuery(one, null),
      ...writeQuery(one, []),
    ]).toEqual([])
  },
)

test.each<[Style, boolean | undefined, string, string, string]>([
  [undefined, undefined, 'blue', 'blue,black', 'R,100,G,200'],
  ['simple', true, 'blue', 'blue,black', 'R=100,G=200'],
  ['label', false, '.blue', '.blue,black', '.R,100,G,200'],
  ['label', true, '.blue', '.blue.black', '.R=100.G=200'],
  ['matrix', false, ';color=blue', ';color=blue,black', ';color=R,100,G,200'],
  ['matrix', true, ';color=blue', ';color=blue;color=black', ';R=100;G=200'],
])(
  'a path parameter of style %s, explode %s, is written as the standard says',
  (style, explode, text, list, object) => {
    const one = parameter('path', style, explode)
    expect([
      writePath(one, 'blue'),
      writePath(one, COLOUR.list),
      writePath(one, COLOUR.object),
    ]).toEqual([text, list, object])
  },
)

test.each<[boolean | undefined, string, string]>([
  [undefined, 'blue,black', 'R,100,G,200'],
  [true, 'blue,black', 'R=100,G=200'],
])('a header parameter, explode %s, is written as the standard says', (explode, list, object) => {
  const one = parameter('header', 'simple', explode)
  expect([writeHeader(one, COLOUR.list), writeHeader(one, COLOUR.object)]).toEqual([list, object])
  expect(writeHeader(one, undefined)).toBeNull()
})

describe('a value', () => {
  test('never becomes two, whatever is in it', () => {
    const query = parameter('query', undefined, undefined)
    expect(writeQuery(query, 'a&b=c#d e+')).toEqual(['color=a%26b%3Dc%23d%20e%2B'])
    expect(writeQuery({ ...query, allowReserved: true }, 'a/b?c&d=e#f+')).toEqual([
      'color=a/b?c%26d%3De%23f%2B',
    ])
    expect(writePath(parameter('path', 'simple', true), ['a/b', 'c,d'])).toBe('a%2Fb,c%2Cd')
  })

  test('is JSON where the document says that it is, or no style can write it', () => {
    const query = parameter('query', undefined, undefined)
    expect(writeQuery({ ...query, json: true }, { a: [1] })).toEqual([
      'color=%7B%22a%22%3A%5B1%5D%7D',
    ])
    expect(writeQuery(query, { a: { b: 1 } })).toEqual(['a=%7B%22b%22%3A1%7D'])
  })

  test('of a deep object is written as deep as it goes', () => {
    const deep = parameter('query', 'deepObject', true)
    expect(
      writeQuery(deep, { a: { b: [1, { c: true }] }, d: null }).map(decodeURIComponent),
    ).toEqual(['color[a][b][0]=1', 'color[a][b][1][c]=true'])
  })
})

test('a style of another place is refused', () => {
  const given = { arg: 'a', in: 'path', name: 'a', style: 'deepObject' }
  expect(toolParameter.safeParse(given).error?.issues).toMatchObject([{ path: ['style'] }])
})
