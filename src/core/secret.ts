import { z } from 'zod'

const INSPECT = Symbol.for('nodejs.util.inspect.custom')

/** A text that must not be printed. Whatever formats it gets `[secret]`; `reveal()` is the only way in. */
export class Secret {
  readonly #text: string

  constructor(text: string) {
    this.#text = text
  }

  reveal(): string {
    return this.#text
  }

  toString(): string {
    return '[secret]'
  }

  toJSON(): string {
    return '[secret]'
  }

  [INSPECT](): string {
    return '[secret]'
  }
}

export const secretText = z.string().transform((text) => new Secret(text))
