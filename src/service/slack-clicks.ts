import { makeDecideFromSlack } from '../inbound/decide-from-slack.ts'
import { renderRefusal, renderVerdict } from '../providers/slack/approval.ts'
import { slackConfig } from '../providers/slack/config.ts'
import type { Log } from '../telemetry/log.ts'
import type { makePostTo } from './post-to.ts'

type Deps = Parameters<typeof makeDecideFromSlack>[0]

interface SlackClicksDeps extends Pick<Deps, 'byPlace' | 'decide' | 'nowMs'> {
  readonly postTo: ReturnType<typeof makePostTo>
  readonly log: Log
}

/** Clicks in Slack, wired: who may decide stands in the integration's config, what came of it goes to the click's own URL. */
export function makeSlackClicks({ byPlace, decide, postTo, nowMs, log }: SlackClicksDeps) {
  return makeDecideFromSlack({
    byPlace,
    decide,
    nowMs,
    log,
    approversOf: ({ config }) => slackConfig.parse(config).approvers ?? [],
    tell: async (orgId, { responseUrl, blocks, decision, userId, thread }, answer) => {
      if (responseUrl === null) return
      const body =
        answer.kind === 'decided'
          ? renderVerdict(blocks, { tool: answer.tool, at: answer.at, decision, userId })
          : renderRefusal(answer.text, thread)
      await postTo(orgId, 'public', responseUrl, body)
    },
  })
}
