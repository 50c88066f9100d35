const MARK = '[secret]'

/** What a secret looks like, wherever it stands: in a message, a URL, a stack, JSON inside a string. */
const SHAPES = new RegExp(
  [
    // Signing secrets and API keys of ours.
    'whsec_[A-Za-z0-9+/=_-]{8,}',
    'pbk_[A-Za-z0-9_-]{8,}',
    // Tokens: JWT, Slack, Vault, and keys of model APIs.
    '(?<![\\w-])eyJ[\\w-]{8,}\\.[\\w-]+\\.[\\w-]*',
    'xox[a-z](?:\\.xox[a-z])?-[\\w-]{8,}',
    '\\bhv[sbr]\\.[\\w-]{8,}',
    '\\bsk-[\\w-]{16,}',
    // Slack's webhook URLs are secrets from the host on.
    '(?<=hooks\\.slack(?:-gov)?\\.com)/[^\\s"\\\\]+',
    '(?<=[?&](?:sig|token|key|api_key|apikey|access_token|secret|code)=)[^&\\s"\\\\]+',
    // The user part of a URL.
    '(?<=://)[^/\\s"@\\\\]+(?=@)',
    // What follows a scheme of authentication, and is no word.
    '(?<=\\b(?:Bearer|Basic)\\s)(?![a-z]+(?![\\w.~+/=-]))[\\w.~+/=-]{6,}',
  ].join('|'),
  'g',
)

const NAMES =
  '[\\w-]*(?:authorization|cookie|password|passphrase|secret|credentials?|api[-_]?key|master[-_]?key|private[-_]?key|access[-_]?token|refresh[-_]?token|bot[-_]?token)'

/** Members whose value is a secret whatever it looks like. */
const MEMBERS = new RegExp(`((?<!\\\\)"${NAMES}"\\s*:\\s*)"(?:[^"\\\\]|\\\\.)*"`, 'gi')

/** The same in JSON that stands inside a string, however deep; never beyond that string's end. */
const NESTED = new RegExp(
  `((?<!\\\\)(\\\\+)"${NAMES}\\2"\\s*:\\s*)(\\\\+)"(?:[^"\\\\]|\\\\.)*?(?:(?<!\\\\)\\3"|(?="))`,
  'gi',
)

/**
 * A line of the log without what looks like a secret: the last of several walls. It works on the finished line, so nothing
 * escapes it by depth, by an array, by the case of a name, or by being part of a message.
 */
export function scrub(line: string): string {
  return line
    .replace(SHAPES, MARK)
    .replace(MEMBERS, `$1"${MARK}"`)
    .replace(NESTED, `$1$2"${MARK}$2"`)
}
