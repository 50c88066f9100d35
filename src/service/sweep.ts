import type { Log } from '../telemetry/log.ts'

/**
 * What is done every minute, one step after the other. One that breaks is logged and tried again in the next minute: the others
 * do not wait for it to be mended.
 */
export function makeSweep(
  steps: Readonly<Record<string, () => Promise<unknown>>>,
  log: Pick<Log, 'error'>,
) {
  return async function sweep(): Promise<void> {
    for (const [step, work] of Object.entries(steps)) {
      await work().catch((error: unknown) => log.error({ err: error, step }, 'sweep.broke'))
    }
  }
}
