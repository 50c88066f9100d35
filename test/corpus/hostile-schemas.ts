import type { JsonSchema } from '../../src/tools/args.ts'

interface HostileSchema {
  /** Of the schema: "each API takes a tool whose schema …". */
  readonly is: string
  readonly schema: JsonSchema
  /** Arguments that fit it. */
  readonly fitting: readonly Readonly<Record<string, unknown>>[]
}

const TEXT = { type: 'string' }
const LONG_NAME = 'settings__approved__or__denied__countries__or__regions__approved__list'

/** Schemas that a tool may have, and that some model's API refuses or reads otherwise; with arguments that fit. */
export const HOSTILE_SCHEMAS: readonly HostileSchema[] = [
  { is: 'says nothing', schema: { type: 'object' }, fitting: [{}, { a: 1 }] },
  {
    is: 'is of draft-07',
    schema: {
      $schema: 'http://json-schema.org/draft-07/schema#',
      type: 'object',
      properties: {
        at: { type: 'array', items: [{ type: 'number' }, TEXT], additionalItems: false },
        open: { type: 'array', items: [TEXT] },
        sub: { $ref: '#/definitions/sub' },
      },
      definitions: { sub: { type: 'object', properties: { a: TEXT }, required: ['a'] } },
    },
    fitting: [{ at: [1, 'b'], open: ['a', 2], sub: { a: 'x' } }, {}],
  },
  {
    is: 'has names of query parameters',
    schema: {
      type: 'object',
      properties: {
        'filter[id]': TEXT,
        'filter.id': TEXT,
        filter_id_: TEXT,
        $top: { type: 'integer' },
        'user-id': TEXT,
        '@odata.type': TEXT,
        '1st': TEXT,
        größe: TEXT,
        [LONG_NAME]: TEXT,
        [`${LONG_NAME}s`]: TEXT,
        '': TEXT,
        ' ': TEXT,
      },
      required: ['user-id'],
      additionalProperties: false,
    },
    fitting: [
      { 'user-id': 'a' },
      { 'user-id': 'a', 'filter[id]': 'b', 'filter.id': 'c', filter_id_: 'd', $top: 1 },
      { 'user-id': 'a', [LONG_NAME]: 'e', [`${LONG_NAME}s`]: 'f', größe: 'g', '1st': 'h' },
      { 'user-id': 'a', '': 'i', ' ': 'j', '@odata.type': 'k' },
    ],
  },
  {
    is: 'is a choice at its root',
    schema: {
      type: 'object',
      properties: { note: TEXT },
      oneOf: [
        { properties: { id: { type: 'integer' } }, required: ['id'] },
        { properties: { id: TEXT, path: TEXT }, required: ['path'] },
      ],
    },
    fitting: [{ id: 1, note: 'a' }, { path: 'a' }, { id: 'b', path: 'a' }],
  },
  {
    is: 'is put together at its root',
    schema: {
      type: 'object',
      allOf: [
        { $ref: '#/$defs/page' },
        { properties: { 'sort-by': TEXT }, required: ['sort-by'] },
        { anyOf: [{ required: ['a'], properties: { a: TEXT } }, { properties: { b: TEXT } }] },
      ],
      unevaluatedProperties: false,
      $defs: { page: { type: 'object', properties: { limit: { type: 'integer' } } } },
    },
    fitting: [
      { 'sort-by': 'x', limit: 1, a: 'y' },
      { 'sort-by': 'x', b: 'y' },
    ],
  },
  {
    is: 'stands behind a reference',
    schema: {
      type: 'object',
      $ref: '#/$defs/a~1b',
      $defs: { 'a/b': { properties: { a: TEXT, next: { $ref: '#' } }, required: ['a'] } },
    },
    fitting: [{ a: 'x' }, { a: 'x', next: { a: 'y' } }],
  },
  {
    is: 'refers to itself and to its members',
    schema: {
      type: 'object',
      properties: {
        'parent-id': { type: ['string', 'null'] },
        child: { $ref: '#' },
        like: { $ref: '#/properties/parent-id' },
      },
    },
    fitting: [{ 'parent-id': null, like: 'a', child: { 'parent-id': 'b' } }],
  },
  {
    is: 'has arrays of whatever',
    schema: {
      type: 'object',
      properties: {
        list: { type: 'array' },
        maybe: { type: ['array', 'null'] },
        pair: { type: 'array', prefixItems: [TEXT, { type: 'array' }] },
        any: true,
        none: false,
        each: { type: 'array', items: true },
        deep: { anyOf: [{ type: 'object', additionalProperties: { type: 'array' } }, TEXT] },
      },
    },
    fitting: [
      { list: [1, 'a'], maybe: null, pair: ['a', [1], 2], any: {}, each: [1], deep: { a: [1] } },
      { maybe: [1], deep: 'a' },
    ],
  },
  {
    is: 'requires what it does not describe',
    schema: {
      type: 'object',
      required: ['id', 'x-y'],
      properties: { sub: { type: 'object', required: ['key'] } },
    },
    fitting: [{ id: 1, 'x-y': 2, sub: { key: 3 } }],
  },
  {
    is: 'has rules by name beside odd names',
    schema: {
      type: 'object',
      properties: { 'card-number': TEXT, billing: TEXT, kind: { enum: ['a', 'b'] } },
      patternProperties: { '^x-': { type: 'integer' } },
      additionalProperties: false,
      dependentRequired: { 'card-number': ['billing'] },
      if: { properties: { kind: { const: 'a' } }, required: ['kind'] },
      // biome-ignore lint/suspicious/noThenProperty: the keyword of JSON Schema
      then: { required: ['card-number'] },
      propertyNames: { pattern: '^[a-z-]+$' },
    },
    fitting: [{ kind: 'a', 'card-number': '1', billing: 'x' }, { kind: 'b', 'x-y': 1 }, {}],
  },
  {
    is: 'excludes and enumerates at its root',
    schema: {
      type: 'object',
      properties: { a: TEXT, b: TEXT },
      not: { required: ['a', 'b'] },
      enum: [{ a: 'x' }, { b: 'y' }],
    },
    fitting: [{ a: 'x' }, { b: 'y' }],
  },
  {
    is: 'is closed around choices',
    schema: {
      type: 'object',
      properties: { a: TEXT, b: TEXT },
      additionalProperties: false,
      anyOf: [{ required: ['a'] }, { required: ['b'], properties: { c: TEXT } }],
    },
    fitting: [{ a: 'x' }, { b: 'y' }, { a: 'x', b: 'y' }],
  },
  {
    is: 'names what objects have of their own',
    schema: {
      type: 'object',
      properties: { toString: TEXT, valueOf: TEXT, hasOwnProperty: TEXT },
      required: ['toString'],
    },
    fitting: [{ toString: 'a', valueOf: 'b' }],
  },
]
