/** A flag that can be waited for. Setting it while nobody waits makes the next wait return at once. */
export function makeSignal() {
  let isSet = false
  let release: (() => void) | null = null
  return {
    set: (): void => {
      isSet = true
      release?.()
    },
    /** Until it is set, or `ms` have passed. */
    wait: (ms: number): Promise<void> =>
      new Promise((resolve) => {
        const done = () => {
          clearTimeout(timer)
          release = null
          isSet = false
          resolve()
        }
        const timer = setTimeout(done, ms)
        if (isSet) done()
        else release = done
      }),
  }
}
