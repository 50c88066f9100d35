import { Writable } from 'node:stream'
import { describe, expect, test, vi } from 'vitest'
import { AppError } from '../core/error.ts'
import { makeLog } from '../telemetry/log.ts'
import { type ClickAnswer, makeDecideFromSlack, type SlackClick } from './decide-from-slack.ts'
import type { InboundIntegration } from './find-integration.ts'

type Deps = Parameters<typeof makeDecideFromSlack>[0]

const INTEGRATION: InboundIntegration = {
  id: '01a1f3c2-9d4e-7c11-8a51-6f0e2b7d9c06',
  orgId: 'acme',
  providerKey: 'slack',
  isEnabled: true,
  externalId: 'T1',
  config: {},
  credentials: null,
  inboundSecrets: null,
}
const CLICK: SlackClick = {
  teamId: 'T1',
  enterpriseId: null,
  userId: 'U1',
  userTeamId: 'T1',
  approvalId: '01a1f3c2-9d4e-7c11-8a51-6f0e2b7d9c07',
  decision: 'approve',
  responseUrl: 'https://hooks.slack.com/actions/1',
  thread: null,
  blocks: null,
}

/** With two approvers, and a tool that is decided once. */
function openDesk(change: Partial<Deps> = {}) {
  const decided: unknown[][] = []
  const told: { orgId: string; answer: ClickAnswer }[] = []
  const lines: string[] = []
  const destination = new Writable({
    write: (chunk, _, done) => {
      lines.push(String(chunk))
      done()
    },
  })
  const decide = makeDecideFromSlack({
    byPlace: (_, places) => Promise.resolve(places.includes('T1') ? INTEGRATION : null),
    approversOf: () => ['U1', 'U2'],
    decide: (...call) => {
      decided.push(call)
      return decided.length === 1
        ? Promise.resolve({ tool: 'jira.createIssue' })
        : Promise.reject(new AppError('CONFLICT', 'It was approved by slack:U1 already.'))
    },
    tell: (orgId, _, answer) => {
      told.push({ orgId, answer })
      return Promise.resolve()
    },
    nowMs: () => Date.UTC(2026, 0, 31, 13),
    log: makeLog('info', destination),
    ...change,
  })
  const click = (change: Partial<SlackClick> = {}, own: InboundIntegration | null = null) =>
    decide({ ...CLICK, ...change }, own, 'r-1')
  return { click, decided, told, lines }
}

test('an approver decides, as themselves, and everybody is told', async () => {
  const { click, decided, told } = openDesk()
  await click()
  const by = { principalId: 'slack:U1', address: null, requestId: 'r-1' }
  expect(decided).toEqual([['acme', CLICK.approvalId, 'approve', by]])
  const answer = { kind: 'decided', tool: 'jira.createIssue', at: new Date('2026-01-31T13:00:00Z') }
  expect(told).toEqual([{ orgId: 'acme', answer }])
})

test('whoever comes second decides nothing, and is told who was first', async () => {
  const { click, told } = openDesk()
  await Promise.all([click(), click({ userId: 'U2', decision: 'deny' })])
  expect(told.map(({ answer }) => answer.kind).sort()).toEqual(['decided', 'refused'])
  expect(told.find(({ answer }) => answer.kind === 'refused')?.answer).toEqual({
    kind: 'refused',
    text: 'It was approved by slack:U1 already.',
  })
})

describe('nothing is decided by', () => {
  test.each<[string, Partial<SlackClick>, Partial<InboundIntegration>, string]>([
    ['somebody who is not named', { userId: 'U3' }, {}, 'Your id in Slack is U3.'],
    ['somebody of a workspace that shares the channel', { userTeamId: 'T2' }, {}, 'Only people of'],
    ['a click in a disabled integration', {}, { isEnabled: false }, 'disconnected'],
    [
      'somebody of another workspace, where an Enterprise org has the app',
      { enterpriseId: 'E1', userTeamId: 'T2' },
      { externalId: 'E1' },
      'Only people of',
    ],
    [
      'somebody of another workspace, where the app is the org’s own',
      { userTeamId: 'T2' },
      { externalId: null },
      'Only people of',
    ],
    [
      'a click in another workspace than the app is installed in',
      { teamId: 'T2', userTeamId: null },
      {},
      'Only people of',
    ],
  ])('%s', async (_, change, integration, text) => {
    const { click, decided, told, lines } = openDesk()
    await click(change, { ...INTEGRATION, ...integration })
    expect(decided).toEqual([])
    expect(told).toEqual([
      { orgId: 'acme', answer: { kind: 'refused', text: expect.stringContaining(text) } },
    ])
    expect(lines.filter((line) => line.includes('approval.click_refused'))).toHaveLength(1)
  })

  test('anybody, where nobody is named', async () => {
    const { click, decided, told } = openDesk({ approversOf: () => [] })
    await click()
    expect(decided).toEqual([])
    expect(told[0]?.answer).toMatchObject({ text: expect.stringContaining('as approvers') })
  })

  test('a click in a workspace that no org has; nobody is told', async () => {
    const { click, decided, told, lines } = openDesk()
    await click({ teamId: 'T9' })
    expect([decided, told]).toEqual([[], []])
    expect(lines.join()).toContain('inbound.unknown_workspace')
  })
})

describe('somebody is at home', () => {
  test.each<[string, Partial<SlackClick>, Partial<InboundIntegration>]>([
    ['whose workspace Slack does not name apart', { userTeamId: null }, {}],
    ['in a workspace of the Enterprise org', { enterpriseId: 'E1' }, { externalId: 'E1' }],
    ['where the app is the org’s own', {}, { externalId: null }],
  ])('%s', async (_, change, integration) => {
    const { click, decided } = openDesk()
    await click(change, { ...INTEGRATION, ...integration })
    expect(decided).toHaveLength(1)
  })
})

describe('a decision that takes long', () => {
  test('lets the click be acknowledged, goes on, and is told when it is made', async () => {
    const gate = Promise.withResolvers<{ tool: string }>()
    const { click, told } = openDesk({ decide: () => gate.promise, withinMs: 5 })
    await click()
    expect(told).toEqual([])
    gate.resolve({ tool: 't' })
    await vi.waitFor(() => expect(told).toMatchObject([{ answer: { kind: 'decided' } }]))
  })

  test('and breaks after that is an error in the log', async () => {
    const gate = Promise.withResolvers<{ tool: string }>()
    const { click, told, lines } = openDesk({ decide: () => gate.promise, withinMs: 5 })
    await click()
    gate.reject(new Error('the database is gone'))
    await vi.waitFor(() => expect(lines.join()).toContain('approval.click_lost'))
    expect(told).toEqual([])
  })
})

test('a decision that breaks is thrown: the click is not acknowledged', async () => {
  const { click } = openDesk({ decide: () => Promise.reject(new Error('the database is gone')) })
  await expect(click()).rejects.toThrow('the database is gone')
})

test('what cannot be told is a warning, and the decision stands', async () => {
  const tell = () => Promise.reject(new AppError('UNAVAILABLE', 'the app did not take the answer'))
  const { click, decided, lines } = openDesk({ tell })
  await click()
  await vi.waitFor(() => expect(lines.join()).toContain('approval.clicker_not_told'))
  expect(decided).toHaveLength(1)
})
