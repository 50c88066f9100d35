import { expect, test } from 'vitest'
import { blockProblem } from './blocks.ts'

const section = (text: string) => ({ type: 'section', text: { type: 'mrkdwn', text } })
const markdown = (length: number) => ({ type: 'markdown', text: 'a'.repeat(length) })
const header = (text: string) => ({ type: 'header', text: { type: 'plain_text', text } })
const button = (text: string) => ({
  type: 'button',
  text: { type: 'plain_text', text },
  action_id: 'approve',
})
const asking = (title: string) => ({
  ...button('Yes'),
  confirm: {
    title: { type: 'plain_text', text: title },
    text: { type: 'plain_text', text: 'It runs.' },
    confirm: { type: 'plain_text', text: 'Run' },
    deny: { type: 'plain_text', text: 'No' },
  },
})
const actions = (count: number) => ({
  type: 'actions',
  elements: Array.from({ length: count }, () => button('Yes')),
})
const context = (count: number) => ({
  type: 'context',
  elements: Array.from({ length: count }, () => ({ type: 'mrkdwn', text: 'a' })),
})
const divider = { type: 'divider' }

test.each([
  ['50 blocks', Array.from({ length: 50 }, () => divider)],
  ['a section of 3,000', [section('a'.repeat(3000))]],
  ['a header of 150', [header('a'.repeat(150))]],
  ['12,000 characters of markdown', [markdown(6000), markdown(6000)]],
  ['25 buttons', [actions(25)]],
  ['a button that asks again', [{ type: 'actions', elements: [asking('Sure?')] }]],
  ['10 elements of context', [context(10)]],
])('%s are within the limits', (_, blocks) => {
  expect(blockProblem(blocks)).toBeNull()
})

test.each([
  ['51 blocks', Array.from({ length: 51 }, () => divider)],
  ['a section of 3,001', [section('a'.repeat(3001))]],
  ['an empty section', [section('')]],
  ['a header of 151', [header('a'.repeat(151))]],
  ['a header in mrkdwn', [{ type: 'header', text: { type: 'mrkdwn', text: 'a' } }]],
  ['12,001 characters of markdown', [markdown(6000), markdown(6001)]],
  ['26 buttons', [actions(26)]],
  ['a title of 101', [{ type: 'actions', elements: [asking('a'.repeat(101))] }]],
  ['a button of 76', [{ type: 'actions', elements: [button('a'.repeat(76))] }]],
  ['11 elements of context', [context(11)]],
  ['a long block_id', [{ ...divider, block_id: 'a'.repeat(256) }]],
  [
    'the same block_id twice',
    [
      { ...divider, block_id: 'a' },
      { ...divider, block_id: 'a' },
    ],
  ],
])('%s are refused', (_, blocks) => {
  expect(blockProblem(blocks)?.error).toBe('invalid_blocks')
})

test('the text of all blocks together is too long', () => {
  const blocks = Array.from({ length: 5 }, () => section('a'.repeat(3000)))
  expect(blockProblem(blocks)?.error).toBe('msg_blocks_too_long')
})
