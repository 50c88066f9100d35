import { describe, expect, test } from 'vitest'
import { EVENT_TYPES } from '../../core/event-types.ts'
import { decisionOf, renderRefusal, renderVerdict } from './approval.ts'
import { renderEvent } from './blocks.ts'

const APPROVAL_ID = '01a1f3c2-9d4e-7c11-8a51-6f0e2b7d9c07'
const UNTIL = '<!date^1769864400^{date_short_pretty} at {time}|2026-01-31 13:00 UTC>'

function bodyOf(type: string, change: object): string {
  const example = EVENT_TYPES.find((one) => one.type === type)?.example
  const event = {
    id: '01a20908-8583-7137-8281-51ec2bfbb9f9',
    orgId: 'acme',
    type,
    conversationId: 'c-1',
    data: JSON.stringify({ ...example, ...change }),
    occurredAt: '2026-01-31T12:00:00.000Z',
  }
  const place = { integrationId: '01a1f3c2-9d4e-7c11-8a51-6f0e2b7d9c06', channel: 'C0123ABC' }
  return renderEvent(event, place, '1.1')
}
const requested = (change: object = {}) => JSON.parse(bodyOf('tool.approval.requested', change))
const decided = (change: object = {}) => JSON.parse(bodyOf('tool.approval.decided', change))

interface Shown {
  type: string
  text?: { text: string }
  elements?: { text: string; action_id?: string }[]
}
const actionsOf = ({ blocks }: { blocks: Shown[] }) =>
  blocks.flatMap((block) =>
    block.type === 'actions' ? (block.elements ?? []).map((one) => one.action_id) : [],
  )
const textsOf = ({ blocks }: { blocks: Shown[] }) =>
  blocks.flatMap((block) => {
    if (block.type === 'actions') return []
    return block.text ? [block.text.text] : (block.elements ?? []).map(({ text }) => text)
  })

describe('a call that waits', () => {
  test('says who asks for what and until when, and has two buttons', () => {
    const mrkdwn = (text: string) => ({ type: 'mrkdwn', text, verbatim: true })
    const plain = (text: string) => ({ type: 'plain_text', text })
    expect(requested()).toEqual({
      channel: 'C0123ABC',
      thread_ts: '1.1',
      text: 'ann asks to run jira.createIssue. Approve or deny it.',
      blocks: [
        { type: 'section', text: mrkdwn('*Approve a tool call?* `jira.createIssue`') },
        {
          type: 'context',
          elements: [mrkdwn(`Asked for in the chat by \`ann\`. It waits until ${UNTIL}.`)],
        },
        { type: 'section', text: mrkdwn('```\n{\n  "title": "Printer on fire"\n}\n```') },
        {
          type: 'actions',
          block_id: 'patchbay.approval',
          elements: [
            {
              type: 'button',
              action_id: 'patchbay.approve',
              text: plain('Approve'),
              value: APPROVAL_ID,
              style: 'primary',
              confirm: {
                title: plain('Approve this call?'),
                text: plain('It runs once, with the arguments that are shown.'),
                confirm: plain('Approve'),
                deny: plain('Not now'),
                style: 'primary',
              },
            },
            {
              type: 'button',
              action_id: 'patchbay.deny',
              text: plain('Deny'),
              value: APPROVAL_ID,
              style: 'danger',
            },
          ],
        },
      ],
      unfurl_links: false,
      unfurl_media: false,
    })
  })

  test('whose arguments are long shows all of them, in several blocks', () => {
    const note = '0123456789'.repeat(800)
    const message = requested({ arguments: { note } })
    const code = textsOf(message).filter((text) => text.startsWith('```'))
    expect(code.map((text) => text.slice(4, -4)).join('')).toBe(JSON.stringify({ note }))
    expect(code.length).toBe(3)
    expect(actionsOf(message)).toEqual(['patchbay.approve', 'patchbay.deny'])
  })

  test('whose arguments do not fit says what is missing, and can only be denied', () => {
    const message = requested({ arguments: { note: 'x'.repeat(20_000) } })
    const texts = textsOf(message)
    expect(texts.at(-2)).toMatch(
      /^… This call is cut here: 1[\d,]+ more characters are not shown\.$/,
    )
    expect(texts.at(-1)).toBe('It can be approved where all of it is seen: by the API.')
    expect(actionsOf(message)).toEqual(['patchbay.deny'])
    expect(texts.join('').length).toBeLessThanOrEqual(12_000)
  })

  test('whose arguments were too long to keep can only be denied, however little is left of them', () => {
    const message = requested({ arguments: { cut: '{"a":"… [cut: 20000 bytes in all]' } })
    expect(textsOf(message).at(-1)).toBe('It can be approved where all of it is seen: by the API.')
    expect(actionsOf(message)).toEqual(['patchbay.deny'])
  })

  test('whose arguments are kept back says how to see them, and can only be denied', () => {
    const message = requested({ arguments: undefined })
    expect(textsOf(message).at(-1)).toContain('set content: "full" on this webhook')
    expect(actionsOf(message)).toEqual(['patchbay.deny'])
  })

  test('cannot write outside its code, call anybody or hide a link', () => {
    const evil = '<!channel> <@U1> ``` <https://evil.example|ok>\n*Approved*'
    const body = bodyOf('tool.approval.requested', {
      tool: evil,
      userId: evil,
      source: evil,
      arguments: { note: evil },
    })
    expect(JSON.stringify(JSON.parse(body))).not.toMatch(/<!(?!date\^)|<@|<https/)
    const texts = textsOf(JSON.parse(body))
    for (const text of texts.slice(0, 2)) {
      expect(text).not.toContain('\n')
      expect(text.split('`').length % 2).toBe(1)
    }
    expect(texts[2]?.slice(3, -3)).not.toContain('``')
  })
})

test.each([
  [{}, 'Approved by `bea`: `jira.createIssue`, asked for by `ann`.'],
  [
    { state: 'denied', decidedBy: 'slack:U1', runId: null },
    'Denied by `slack:U1`: `jira.createIssue`, asked for by `ann`.',
  ],
  [
    { state: 'expired', decidedBy: null, runId: null },
    'Nobody decided in time: `jira.createIssue`, asked for by `ann`. It does not run.',
  ],
])('a decision (%j) is one line', (change, line) => {
  const message = decided(change)
  expect(textsOf(message)).toEqual([line])
  expect(message.text).toMatch(/^jira\.createIssue (was|does)/)
})

describe('a verdict', () => {
  const at = new Date('2026-01-31T13:00:00.000Z')
  const verdict = { tool: 'jira.createIssue', decision: 'approve', userId: 'U1', at } as const

  test('takes the place of the request: the same without buttons, and who decided', () => {
    const { blocks } = requested()
    const shown = JSON.parse(renderVerdict(blocks, verdict))
    expect(shown).toMatchObject({
      replace_original: true,
      text: 'jira.createIssue was approved.',
    })
    expect(shown.blocks.slice(0, -1)).toEqual(blocks.slice(0, -1))
    expect(textsOf(shown).at(-1)).toBe(`Approved by <@U1>, ${UNTIL}`)
    expect(actionsOf(shown)).toEqual([])
  })

  test('stands alone where the request is not known', () => {
    const shown = JSON.parse(renderVerdict(null, { ...verdict, decision: 'deny' }))
    expect(textsOf(shown)).toEqual([`\`jira.createIssue\`: Denied by <@U1>, ${UNTIL}`])
  })
})

test('a refusal is for the eyes of whoever clicked, in the thread of the buttons', () => {
  expect(JSON.parse(renderRefusal('It was <decided> already.', '1.1'))).toEqual({
    response_type: 'ephemeral',
    replace_original: false,
    thread_ts: '1.1',
    text: 'It was &lt;decided&gt; already.',
  })
  expect(JSON.parse(renderRefusal('No.', null))).not.toHaveProperty('thread_ts')
})

test('a button of ours decides, and no other does', () => {
  expect(['patchbay.approve', 'patchbay.deny', 'approve', 'constructor'].map(decisionOf)).toEqual([
    'approve',
    'deny',
    null,
    null,
  ])
})
