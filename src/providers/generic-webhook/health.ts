import type { Provider } from '../../core/provider.ts'

const NOTHING_TO_TRY =
  'Nothing was tried: nothing says how to ask this service whether it is well. Set healthUrl in its config to a URL that answers 2xx to a GET, or send a test from one of its webhooks.'

/** Why the config's `healthUrl` is not one, or null. Whether it may be called is judged when it is. */
export function healthUrlProblem(healthUrl: unknown): string | null {
  if (healthUrl === undefined) return null
  const url = typeof healthUrl === 'string' ? URL.parse(healthUrl) : null
  if (url === null || (url.protocol !== 'https:' && url.protocol !== 'http:')) {
    return 'must be an http or https URL'
  }
  // The config is shown to whoever may see the integration.
  return url.username === '' && url.password === ''
    ? null
    : 'must not carry a user name or password'
}

/** One GET of the config's `healthUrl`. */
export const verify: Provider['verify'] = async ({ config }, call) => {
  const { healthUrl } = config
  if (typeof healthUrl !== 'string') return { ok: true, detail: NOTHING_TO_TRY }
  const result = await call({ method: 'GET', url: healthUrl, headers: [], body: null })
  if (!result.isAnswer) {
    return {
      ok: false,
      detail: `healthUrl could not be called: ${result.reason}. Check that the service runs and that the URL is right.`,
    }
  }
  const { statusCode } = result
  return statusCode >= 200 && statusCode < 300
    ? { ok: true, detail: `healthUrl answered HTTP ${statusCode}: the service is well.` }
    : {
        ok: false,
        detail: `healthUrl answered HTTP ${statusCode}, not 2xx: look at the service, or correct the URL.`,
      }
}
