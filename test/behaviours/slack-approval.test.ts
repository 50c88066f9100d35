import { afterAll, describe, expect, test } from 'vitest'
import type { Channel, Message } from '../doubles/slack/world.ts'
import { openSlack } from '../doubles/slack.ts'
import { until } from '../fixtures/process.ts'
import { openReceiver } from '../fixtures/receiver.ts'
import { done } from './chat.ts'
import { connect, openWorkspace, slackSettings } from './slack-workspace.ts'
import { openStory } from './story.ts'

const stack = new AsyncDisposableStack()
afterAll(() => stack.disposeAsync())

const slack = stack.use(await openSlack({ burst: 100 }))
const story = stack.use(await openStory({ env: slackSettings(slack) }))
connect(slack, story)

const QUESTION = 'use printer.repair {"title":"it is on <fire>"}'
const ASKER = 'UANN'
const APPROVER = 'UBEA'

/** A workspace whose org has a tool that has to be approved, and who may do that; and somebody who asked for it. */
async function openQuestion(name: string) {
  const place = await openWorkspace(slack, story, name)
  const { org, channel } = place
  const printer = stack.use(
    await openReceiver((response) => {
      response.setHeader('content-type', 'application/json')
      response.end(JSON.stringify({ ticket: 'OPS-7' }))
    }),
  )
  await done(
    org.call('POST', `${org.path}/integrations/${org.integrationId}/tools`, {
      name: 'printer.repair',
      description: 'Repairs the printer.',
      argsSchema: { type: 'object', properties: { title: { type: 'string' } } },
      httpConfig: { method: 'POST', url: printer.url },
      approval: 'ask',
    }),
  )
  await done(org.call('PATCH', place.path, { config: { approvers: [APPROVER] } }))
  const { message: question } = await slack.mention({ channel, user: ASKER, text: QUESTION })
  await until('the thread has the request', () => requestIn(channel) !== undefined)
  const request = () => requestIn(channel) ?? never()
  const asked = request()
  const inThread = () =>
    slack
      .messagesIn(channel)
      .filter(({ threadTs, ephemeralTo }) => threadTs === question.ts && ephemeralTo === null)
  const approvals = async () =>
    (await done(org.call('GET', `${org.path}/approvals`))).approvals.map(
      ({ state, tool, decidedBy }: Record<string, unknown>) => ({ state, tool, decidedBy }),
    )
  const click = (user: string, actionId: string) =>
    slack.clickButton({ message: asked, user, actionId })
  return { ...place, printer, question, asked, request, inThread, approvals, click }
}

/** The message that asks, also after its buttons are gone. */
function requestIn(channel: Channel): Message | undefined {
  return slack.messagesIn(channel).find(({ shown }) => shown.startsWith('*Approve a tool call?*'))
}

function never(): never {
  throw new Error('there is no request')
}

const toldTo = (channel: Channel, user: string) =>
  slack
    .messagesIn(channel)
    .filter(({ ephemeralTo }) => ephemeralTo === user)
    .map(({ shown }) => shown)

describe('a tool that has to be approved', () => {
  test('runs once, when somebody who is named approves it in Slack, and the assistant goes on', async () => {
    const { org, channel, printer, asked, request, inThread, approvals, click } =
      await openQuestion('Approve')
    expect(asked).toMatchObject({ pings: [], by: { kind: 'bot' } })
    expect(inThread()).toContainEqual(asked)
    expect(asked.shown).toContain('printer.repair')
    expect(asked.shown).toContain('"title": "it is on <fire>"')
    expect(asked.shown).toContain(`slack:${ASKER}`)
    expect(asked.buttons.map(({ label }) => label)).toEqual(['Approve', 'Deny'])

    for (const stranger of [ASKER, 'UEVE']) {
      const refused = await click(stranger, 'patchbay.approve')
      expect(refused.problem).toBeNull()
      await until('they are told', () => toldTo(channel, stranger).length === 1)
      expect(toldTo(channel, stranger)[0]).toContain('You may not decide tool calls')
    }
    expect(printer.requests).toEqual([])
    expect(await approvals()).toEqual([
      { state: 'pending', tool: 'printer.repair', decidedBy: null },
    ])

    const before = inThread().length
    const [first, second] = await Promise.all([
      click(APPROVER, 'patchbay.approve'),
      click(APPROVER, 'patchbay.approve'),
    ])
    for (const { problem, sent } of [first, second]) {
      expect(problem).toBeNull()
      expect(sent.durationMs).toBeLessThan(3000)
    }
    await until('it ran', () => printer.requests.length > 0)
    await until('the buttons are gone', () => request().buttons.length === 0)
    expect(request()).toMatchObject({ ts: asked.ts, pings: [`@${APPROVER}`] })
    expect(request().shown).toContain(`Approved by @${APPROVER}`)
    await until('the second click is told', () => toldTo(channel, APPROVER).length === 1)
    await until('the assistant goes on', () =>
      inThread()
        .slice(before)
        .some(({ shown }) => shown.includes('OPS-7')),
    )

    await click(APPROVER, 'patchbay.deny')
    await until('it is too late', () => toldTo(channel, APPROVER).length === 2)
    expect(printer.requests).toHaveLength(1)
    expect(printer.requests[0]?.body).toContain('it is on <fire>')
    expect(await approvals()).toEqual([
      { state: 'approved', tool: 'printer.repair', decidedBy: `slack:${APPROVER}` },
    ])
    const { entries } = await done(org.call('GET', `${org.path}/audit`))
    const decided = entries.filter(
      ({ principal }: { principal: string }) => principal === `slack:${APPROVER}`,
    )
    expect(decided).toHaveLength(1)
    for (const type of ['tool.approval.requested', 'tool.approval.decided']) {
      const { events } = await done(org.call('GET', `${org.path}/events?type=${type}`))
      expect(events).toHaveLength(1)
    }
  })

  test('never runs when it is denied, and the assistant says so', async () => {
    const { channel, printer, request, inThread, approvals, click } = await openQuestion('Deny')
    const before = inThread().length
    await click(APPROVER, 'patchbay.deny')
    await until('the buttons are gone', () => request().buttons.length === 0)
    expect(request().shown).toContain(`Denied by @${APPROVER}`)
    await until('the assistant goes on', () => inThread().length > before)
    await click(APPROVER, 'patchbay.approve')
    await until('it is too late', () => toldTo(channel, APPROVER).length === 1)
    expect(printer.requests).toEqual([])
    expect(await approvals()).toEqual([
      { state: 'denied', tool: 'printer.repair', decidedBy: `slack:${APPROVER}` },
    ])
  })

  test('never runs when its time is over', async () => {
    const { org, channel, printer, request, approvals, click } = await openQuestion('Late')
    await story.pool.query(
      `update patchbay.tool_approvals set expires_at = now() - interval '1 second' where org_id = $1`,
      [org.id],
    )
    await click(APPROVER, 'patchbay.approve')
    await until('it is too late', () => toldTo(channel, APPROVER).length === 1)
    expect(request().shown).not.toContain('Approved')
    expect(printer.requests).toEqual([])
    expect(await approvals()).not.toMatchObject([{ state: 'approved' }])
  })

  test('is decided by nobody in Slack where nobody is named', async () => {
    const { org, path, channel, printer, click } = await openQuestion('Nobody')
    await done(org.call('PATCH', path, { config: {} }))
    await click(APPROVER, 'patchbay.approve')
    await until('they are told', () => toldTo(channel, APPROVER).length === 1)
    expect(toldTo(channel, APPROVER)[0]).toContain('Nobody can decide tool calls from Slack')
    expect(printer.requests).toEqual([])
  })
})

test('an approver is the id of a Slack user, and nothing else', async () => {
  const { org, path } = await openWorkspace(slack, story, 'Named')
  const wrong = await org.call('PATCH', path, { config: { approvers: ['ann'] } })
  expect(wrong).toMatchObject({
    status: 400,
    body: { error: 'INVALID_BODY', details: [{ path: 'config.approvers.0' }] },
  })
})
