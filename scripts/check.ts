import { runChecks } from './checks.ts'

/** `npm run check`: the static checks. */
const failed = (await runChecks()).filter((result) => !result.isOk)
process.exitCode = failed.length === 0 ? 0 : 1
