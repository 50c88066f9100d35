/** Why an operation cannot become a tool: its verdict, caught where the operation is judged. */
export class Unusable extends Error {
  override readonly name = 'Unusable'
}
