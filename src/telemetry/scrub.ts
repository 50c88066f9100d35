const MARK = '[secret]'

/** Where an escape of JSON ends: its letter is no part of the word behind it. */
const AFTER_ESCAPE = '(?<=\\\\(?:[bfnrt]|u[\\da-f]{4}))'

/**
 * What a secret looks like, wherever it stands: in a message, a URL, a stack, JSON inside a string. No shape holds a quote or
 * a backslash, so none crosses the end of a string or cuts an escape.
 */
const SHAPES = new RegExp(
  [
    // Signing secrets and API keys of ours.
    'whsec_[A-Za-z0-9+/=_-]{8,}',
    'pbk_[A-Za-z0-9_-]{8,}',
    // Tokens: JWT, Slack, Vault, and keys of model APIs.
    `(?:(?<![\\w-])|${AFTER_ESCAPE})eyJ[\\w-]{8,}\\.[\\w-]+\\.[\\w-]*`,
    'xox[a-z](?:\\.xox[a-z])?-[\\w-]{8,}',
    `(?:\\b|${AFTER_ESCAPE})hv[sbr]\\.[\\w-]{8,}`,
    `(?:\\b|${AFTER_ESCAPE})sk-[\\w-]{16,}`,
    // Slack's webhook URLs are secrets from the host on.
    '(?<=hooks\\.slack(?:-gov)?\\.com)/[^\\s"\\\\]+',
    '(?<=[?&](?:sig|token|key|api_key|apikey|access_token|secret|code)=)[^&\\s"\\\\]+',
    // The user part of a URL.
    '(?<=://)[^/\\s"@\\\\]+(?=@)',
    // What follows a scheme of authentication, and is no word.
    '(?<=(?:\\b|(?<=\\\\[bfnrt]))(?:Bearer|Basic)\\s)(?![a-z]+(?![\\w.~+/=-]))[\\w.~+/=-]{6,}',
  ].join('|'),
  'g',
)

/** What each shape has, and few lines have any of: most of them are done after this. */
const SIGNS = /whsec_|pbk_|eyJ|xox|hv[sbr]\.|sk-|hooks\.slack|[?&]\w+=|:\/\/|Bearer|Basic/

/**
 * From the end of a member's name to the quote that opens its value, for members whose value is a secret whatever it looks
 * like. Where JSON stands inside a string, its quotes have backslashes: all three the same number.
 */
const HEAD =
  /(?:authorization|cookie|password|passphrase|secret|credentials?|api[-_]?key|master[-_]?key|private[-_]?key|access[-_]?token|refresh[-_]?token|bot[-_]?token)(\\*)"\s*:\s*\1"/gi

/**
 * A line of the log without what looks like a secret: the last of several walls. It works on the finished line, so nothing
 * escapes it by depth, by an array, by the case of a name, or by being part of a message. A line that is JSON stays JSON.
 */
export function scrub(line: string): string {
  const masked = line.search(HEAD) === -1 ? line : maskMembers(line)
  return SIGNS.test(masked) ? masked.replace(SHAPES, MARK) : masked
}

function maskMembers(line: string): string {
  let masked = ''
  let done = 0
  for (const head of line.matchAll(HEAD)) {
    const start = head.index + head[0].length
    // Inside a value that is masked already.
    if (start < done) continue
    masked += line.slice(done, start) + MARK
    done = endOfValue(line, start, head[1]?.length ?? 0)
  }
  return masked + line.slice(done)
}

/**
 * Where the value ends whose quotes have so many backslashes. Each time JSON is put into a string, `n` backslashes before a
 * quote become `2n + 1`. So before a quote inside the value there are more by an odd multiple of `own + 1`, before the one that
 * closes it by an even one (the value's own last backslashes), and any other number is that of a string around it, which ends
 * here: the value was cut off.
 */
function endOfValue(line: string, start: number, own: number): number {
  for (let at = line.indexOf('"', start); at !== -1; at = line.indexOf('"', at + 1)) {
    let first = at
    while (first > start && line[first - 1] === '\\') first -= 1
    const count = at - first
    if (count % (own + 1) !== own) return first
    if (Math.floor(count / (own + 1)) % 2 === 0) return at - own
  }
  return line.length
}
