import { judgeAnswer } from '../../core/answer.ts'
import { eventBody } from '../../core/event.ts'
import { mcpConfig } from '../../core/mcp-config.ts'
import type { Provider } from '../../core/provider.ts'
import { namedCredentials } from '../schemas.ts'

/** Shakes hands with the server and asks for its tools; runs none. */
export type LookAtMcp = Provider['verify']

/** A server of the Model Context Protocol whose tools become the org's. */
export function makeMcp(lookAtMcp: LookAtMcp): Provider {
  return {
    manifest: {
      schemaVersion: 1,
      key: 'mcp',
      version: '1.0.0',
      name: 'MCP server',
      description:
        'The tools of a server of the Model Context Protocol (Streamable HTTP), read from it and called there.',
      docsUrl: 'https://modelcontextprotocol.io/',
      categories: ['developer', 'ai'],
      permissions: [
        'Says which tools the assistant has, and what they are for',
        'Gets the arguments of the calls of its tools, and says what came of them',
      ],
      supportsWebhooks: false,
      supportsExternalTools: true,
      supportsInbound: false,
      install: 'paste',
      verification: 'Shakes hands with the server and asks for its tools; none of them is run.',
    },
    credentials: namedCredentials,
    config: mcpConfig,
    configUrl: ({ url }) => (typeof url === 'string' ? { path: 'url', url } : null),
    network: 'public',
    // Nothing is sent to it but calls of tools: no webhook of it can be made.
    urlProblem: () => null,
    maskUrl: () => null,
    defaults: {},
    channelUrl: null,
    needsCredentials: () => false,
    open: ({ url }) => ({
      url,
      headers: [],
      secrets: [],
      maxAnswerBytes: 16_384,
      channel: null,
      render: (event) => ({ body: eventBody(event), isSigned: true }),
      judge: judgeAnswer,
      threadOf: () => null,
    }),
    verify: lookAtMcp,
    renderAnswer: null,
    inboundSecret: null,
    readInbound: null,
  }
}
