const MAX_CELL = 60

/** Rows as an aligned table, as psql prints it; long cells are cut. */
export function formatTable(
  header: readonly string[],
  rows: readonly (readonly unknown[])[],
): string {
  const lines = rows.map((row) => row.map(toCell))
  const widths = header.map((name, column) =>
    Math.max(name.length, ...lines.map((line) => line[column]?.length ?? 0)),
  )
  const isNumeric = header.map((_, column) =>
    rows.every((row) => row[column] === null || /^-?\d+(\.\d+)?$/.test(String(row[column]))),
  )
  const format = (cells: readonly string[]) =>
    cells
      .map((cell, column) => {
        const width = widths[column] ?? 0
        return isNumeric[column] === true ? cell.padStart(width) : cell.padEnd(width)
      })
      .join(' │ ')
      .trimEnd()
  const rule = widths.map((width) => '─'.repeat(width)).join('─┼─')
  return [format(header), rule, ...lines.map(format)].join('\n')
}

function toCell(value: unknown): string {
  const text = toText(value).replaceAll('\n', ' ')
  return text.length > MAX_CELL ? `${text.slice(0, MAX_CELL - 1)}…` : text
}

function toText(value: unknown): string {
  if (value === null || value === undefined) return ''
  if (value instanceof Date) return value.toISOString().replace('T', ' ').replace('Z', '')
  return typeof value === 'object' ? JSON.stringify(value) : String(value)
}
