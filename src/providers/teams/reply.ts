import { cutText } from '../../core/cut.ts'
import { cutMark, fittingBody } from './fit.ts'
import { printable, safeMarkdown } from './markdown.ts'

/** The answer to a mention, as Teams takes it in the response: Markdown that can neither ping nor mislead. */
export function replyBody(answer: string): string {
  const text = printable(answer)
  const mark = cutMark(text)
  return fittingBody(text.length, (length) => {
    const shown = safeMarkdown(cutText(text, length, ''))
    return JSON.stringify({
      type: 'message',
      text: length < text.length ? `${shown}\n\n${mark}` : shown,
    })
  })
}
