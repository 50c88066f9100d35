const MIN_LIKENESS = 0.4
const MAX_NAMES = 3

/** Names that share most of their pairs of letters with the wanted one: enough to mend a model's slip. */
export function closestNames(name: string, names: readonly string[]): string[] {
  const wanted = letterPairs(name)
  const likeness = (candidate: string) => {
    const pairs = letterPairs(candidate)
    const shared = pairs.filter((pair) => wanted.includes(pair)).length
    return (2 * shared) / Math.max(1, pairs.length + wanted.length)
  }
  return names
    .map((candidate) => ({ candidate, likeness: likeness(candidate) }))
    .filter((entry) => entry.likeness >= MIN_LIKENESS)
    .sort((a, b) => b.likeness - a.likeness)
    .slice(0, MAX_NAMES)
    .map((entry) => entry.candidate)
}

function letterPairs(name: string): string[] {
  const letters = name.toLowerCase().replace(/[^a-z0-9]/g, '')
  return Array.from({ length: Math.max(0, letters.length - 1) }, (_, at) =>
    letters.slice(at, at + 2),
  )
}
