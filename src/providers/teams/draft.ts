import { literal, literalLines } from './markdown.ts'

export interface TextBlock {
  readonly type: 'TextBlock'
  readonly text: string
  readonly wrap: true
  readonly weight?: 'Bolder'
  readonly isSubtle?: true
  readonly fontType?: 'Monospace'
}

/** A card before it is cut: what always stands in it, and the text that gives way. */
export interface Draft {
  readonly head: readonly TextBlock[]
  readonly text: string
  readonly toBlocks: (text: string) => readonly TextBlock[]
  readonly maxLength?: number
}

/** @param text Markdown */
export function block(text: string, style: Partial<TextBlock> = {}): TextBlock {
  return { type: 'TextBlock', text, wrap: true, ...style }
}

export function subtle(text: string): TextBlock {
  return block(literal(text), { isSubtle: true })
}

export function monospace(text: string): TextBlock[] {
  return text === '' ? [] : [block(literalLines(text), { fontType: 'Monospace' })]
}
