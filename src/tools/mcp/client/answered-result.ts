import type { CallToolResult, ContentBlock } from '@modelcontextprotocol/client'
import type { Redact } from '../../../core/redact.ts'
import type { CallResult } from '../../call-result.ts'

const MAX_ERROR_LENGTH = 1000

/**
 * What a model and the record get of a result: the structured content where there is some, else the text. Pictures and other
 * bytes are named, and left out.
 */
export function toCallResult(result: CallToolResult, redact: Redact): CallResult {
  const text = result.content
    .map(textOf)
    .filter((block) => block !== '')
    .join('\n')
  if (result.isError === true) {
    const clean = redact.text(text === '' ? structuredText(result) : text)
    const error = clean.slice(0, MAX_ERROR_LENGTH).toWellFormed()
    return { outcome: 'error', result: null, error: error === '' ? 'the tool failed' : error }
  }
  const { structuredContent } = result
  if (structuredContent !== undefined) {
    return { outcome: 'success', result: redact.json(structuredContent), error: null }
  }
  return { outcome: 'success', result: text === '' ? null : redact.text(text), error: null }
}

function structuredText({ structuredContent }: CallToolResult): string {
  return structuredContent === undefined ? '' : JSON.stringify(structuredContent)
}

function textOf(block: ContentBlock): string {
  switch (block.type) {
    case 'text':
      return block.text
    case 'image':
    case 'audio':
      return leftOut(`${block.type} ${block.mimeType}`, block.data)
    case 'resource': {
      const { resource } = block
      if ('text' in resource) return resource.text
      return leftOut(`resource ${resource.uri} ${resource.mimeType ?? ''}`.trim(), resource.blob)
    }
    case 'resource_link':
      return `[link to ${block.name}: ${block.uri}]`
  }
}

/** @param base64 of the bytes that nobody gets */
function leftOut(what: string, base64: string): string {
  const kilobytes = Math.max(1, Math.round((base64.length * 0.75) / 1000))
  return `[${what}, ${kilobytes} kB, left out]`
}
