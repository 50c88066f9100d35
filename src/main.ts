import { registerHooks } from 'node:module'
import { setFlagsFromString } from 'node:v8'

/** `node src/main.ts` runs the API and a worker; `api` or `worker` runs one of them. What stands here has to come before all else. */

/**
 * The heap is collected when it has doubled, not when it is four times as large: a bound for weeks, which a bench of minutes does not
 * reach. Over 200,000 deliveries at 20,000 lanes: 326 MB at its highest with it, 309 without, as fast; at 40 percent 10 MB less, and a
 * tenth slower.
 */
setFlagsFromString('--heap-growing-percent=100')

/**
 * drizzle-orm is 450 modules beside a package.json of 180 kB, which Node reads again to resolve each of them: 300 ms, and 50 MB
 * that stay with a worker. Among themselves they name each other by relative URLs, for which nobody needs to read it.
 */
registerHooks({
  resolve: (specifier, context, next) => {
    const { parentURL = '', conditions } = context
    const isAmongThem =
      specifier.startsWith('.') &&
      parentURL.includes('/node_modules/drizzle-orm/') &&
      conditions.includes('import')
    if (!isAmongThem) return next(specifier, context)
    return { url: new URL(specifier, parentURL).href, format: 'module', shortCircuit: true }
  },
})

const { run } = await import('./run.ts')
await run(process.env, process.argv[2])
