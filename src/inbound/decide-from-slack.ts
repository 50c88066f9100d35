import { setTimeout as sleep } from 'node:timers/promises'
import type { Actor } from '../core/actor.ts'
import { AppError } from '../core/error.ts'
import type { Log } from '../telemetry/log.ts'
import type { InboundIntegration } from './find-integration.ts'

/** Slack waits three seconds for an acknowledgement. */
const ACK_MS = 2500

/** A click on a button that decides a tool call; its signature holds. */
export interface SlackClick {
  /** Where it was clicked. */
  readonly teamId: string | null
  readonly enterpriseId: string | null
  readonly userId: string
  /** The clicker's own workspace, in channels that several share. */
  readonly userTeamId: string | null
  readonly approvalId: string
  readonly decision: 'approve' | 'deny'
  /** null: nobody can be told what came of it. */
  readonly responseUrl: string | null
  readonly thread: string | null
  /** Of the message with the buttons. */
  readonly blocks: readonly Readonly<Record<string, unknown>>[] | null
}

/** What came of a click. */
export type ClickAnswer =
  /** For everybody who sees the message. */
  | { readonly kind: 'decided'; readonly tool: string; readonly at: Date }
  /** For whoever clicked, alone. */
  | { readonly kind: 'refused'; readonly text: string }

interface DecideFromSlackDeps {
  readonly byPlace: (key: string, places: readonly string[]) => Promise<InboundIntegration | null>
  /** The Slack users who may decide. */
  readonly approversOf: (integration: InboundIntegration) => readonly string[]
  /** Once for each approval. Throws `NOT_FOUND` where the org has none of this id, `CONFLICT` where it is decided or too late. */
  readonly decide: (
    orgId: string,
    approvalId: string,
    decision: 'approve' | 'deny',
    by: Actor,
  ) => Promise<{ readonly tool: string }>
  /** Posts it where the click came from. Throws where it was not taken. */
  readonly tell: (orgId: string, click: SlackClick, answer: ClickAnswer) => Promise<void>
  readonly nowMs: () => number
  readonly log: Log
  /** How long the click waits to be acknowledged. */
  readonly withinMs?: number
}

const DISCONNECTED =
  'The assistant is disconnected from this workspace at the moment. Ask an admin.'
const NO_APPROVERS =
  'Nobody can decide tool calls from Slack yet: an admin names the people who may, as approvers in the config of this Slack integration. Until then it is decided by the API.'
const STRANGER = 'Only people of the workspace that the assistant is installed in can decide this.'

/**
 * Decides a tool call by a click in Slack: by somebody whom the org named, in the workspace of an enabled integration of its own.
 * The decision is committed before the click is acknowledged, unless that takes too long for Slack; it then goes on. What
 * came of it is told afterwards, and is lost where that fails: the decision stands.
 */
export function makeDecideFromSlack(deps: DecideFromSlackDeps) {
  const { log, withinMs = ACK_MS } = deps

  /** null: no org has this workspace, and there is nobody to answer for. */
  async function integrationOf(
    { teamId, enterpriseId }: SlackClick,
    own: InboundIntegration | null,
  ): Promise<InboundIntegration | null> {
    if (own !== null) return own
    const places = [teamId, enterpriseId].filter((place) => place !== null)
    const found = await deps.byPlace('slack', places)
    if (found === null) log.info({ what: 'click', team_id: teamId }, 'inbound.unknown_workspace')
    return found
  }

  function refusalOf(integration: InboundIntegration, click: SlackClick): string | null {
    if (!integration.isEnabled) return DISCONNECTED
    if (!isAtHome(click, integration.externalId)) return STRANGER
    const approvers = deps.approversOf(integration)
    if (approvers.length === 0) return NO_APPROVERS
    return approvers.includes(click.userId)
      ? null
      : `You may not decide tool calls: an admin names who may. Your id in Slack is ${click.userId}.`
  }

  async function decide(
    integration: InboundIntegration,
    click: SlackClick,
    requestId: string,
  ): Promise<ClickAnswer> {
    const { orgId, id: integrationId } = integration
    const { approvalId, decision } = click
    const by = { principalId: `slack:${click.userId}`, address: null, requestId }
    const refuse = (text: string): ClickAnswer => {
      log.info(
        {
          org_id: orgId,
          integration_id: integrationId,
          approval_id: approvalId,
          principal_id: by.principalId,
          request_id: requestId,
          reason: text,
        },
        'approval.click_refused',
      )
      return { kind: 'refused', text }
    }
    const refusal = refusalOf(integration, click)
    if (refusal !== null) return refuse(refusal)
    try {
      const { tool } = await deps.decide(orgId, approvalId, decision, by)
      return { kind: 'decided', tool, at: new Date(deps.nowMs()) }
    } catch (error) {
      // Too late, decided already, another org's: the clicker's to know.
      if (error instanceof AppError && error.code !== 'INTERNAL') return refuse(error.message)
      throw error
    }
  }

  async function tell(orgId: string, click: SlackClick, answer: ClickAnswer): Promise<void> {
    try {
      await deps.tell(orgId, click, answer)
    } catch (error) {
      const { approvalId: approval_id } = click
      log.warn({ err: error, org_id: orgId, approval_id }, 'approval.clicker_not_told')
    }
  }

  /** Nobody waits for it any more. */
  async function goOn(
    orgId: string,
    click: SlackClick,
    deciding: Promise<ClickAnswer>,
  ): Promise<void> {
    try {
      await tell(orgId, click, await deciding)
    } catch (error) {
      // Whoever clicked sees the buttons as they were.
      log.error({ err: error, org_id: orgId, approval_id: click.approvalId }, 'approval.click_lost')
    }
  }

  /**
   * Returns when the click can be acknowledged. Throws what is no fault of the clicker's: Slack then shows that it went wrong.
   *
   * @param own the integration whose own Slack app sent it; null: the installation's app did
   */
  return async function decideFromSlack(
    click: SlackClick,
    own: InboundIntegration | null,
    requestId: string,
  ): Promise<void> {
    const integration = await integrationOf(click, own)
    if (integration === null) return
    const { orgId } = integration
    const deciding = decide(integration, click, requestId)
    const first = await Promise.race([deciding, sleep(withinMs, null, { ref: false })])
    if (first === null) void goOn(orgId, click, deciding)
    else void tell(orgId, click, first)
  }
}

/**
 * Whether it is somebody of the place that the app is installed in, and not whom a shared channel brings along. An app of the
 * org's own does not know its place: there it is where the button stands.
 */
function isAtHome(
  { teamId, enterpriseId, userTeamId }: SlackClick,
  externalId: string | null,
): boolean {
  const home = userTeamId ?? teamId
  if (externalId === null) return teamId === null || home === teamId
  return externalId === enterpriseId ? teamId === null || home === teamId : home === externalId
}
