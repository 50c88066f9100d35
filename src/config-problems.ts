import type { Config } from './config.ts'

/** What is wrong with settings together, a line each that names the one to mend. */
export function combinationProblems(config: Config): string[] {
  const problems: string[] = []
  const isEmbedded = config.DATABASE_URL === undefined
  const hasSecret = config.AUTH_JWT_SECRET !== undefined
  if (config.AUTH_JWKS_URL !== undefined && hasSecret) {
    problems.push('AUTH_JWT_SECRET: must not be set beside AUTH_JWKS_URL; choose one')
  }
  if (!isEmbedded && config.AUTH_JWKS_URL === undefined && !hasSecret) {
    problems.push('AUTH_JWKS_URL: must be set (or AUTH_JWT_SECRET) where DATABASE_URL is')
  }
  if (config.METRICS_PORT === config.PORT && config.PORT !== 0) {
    problems.push('METRICS_PORT: must not be PORT, where /metrics is anyway')
  }
  const isVault = config.KMS_VAULT_KEY !== undefined
  if (!isEmbedded && config.MASTER_KEY === undefined && !isVault) {
    problems.push(
      'MASTER_KEY: must be set (or KMS_VAULT_KEY) where DATABASE_URL is (make one with: openssl rand -base64 32)',
    )
  }
  if (config.MASTER_KEY !== undefined && isVault) {
    problems.push(
      'MASTER_KEY: must not be set beside KMS_VAULT_KEY; choose one, and put the other into MASTER_KEY_PREVIOUS',
    )
  }
  problems.push(...vaultProblems(config), ...slackProblems(config))
  if (config.LLM_BASE_URL !== undefined && config.LLM_MODEL === undefined) {
    problems.push('LLM_MODEL: must be set where LLM_BASE_URL is')
  }
  return problems
}

/** A Slack app is what these four make together. */
function slackProblems(config: Config): string[] {
  const names = ['SLACK_CLIENT_ID', 'SLACK_CLIENT_SECRET', 'SLACK_SIGNING_SECRET'] as const
  const isMeant = names.some((name) => config[name] !== undefined)
  if (!isMeant) return []
  const url = config.PUBLIC_URL
  if (url?.startsWith('http:') && !isThisMachine(new URL(url).hostname)) {
    return ['PUBLIC_URL: must be https, or Slack sends nobody back to it']
  }
  return [...names, 'PUBLIC_URL' as const]
    .filter((name) => config[name] === undefined)
    .map((name) => `${name}: must be set where the Slack app's other settings are`)
}

function isThisMachine(hostname: string): boolean {
  return /^(localhost|127\.\d+\.\d+\.\d+|\[::1\])$/.test(hostname)
}

function vaultProblems(config: Config): string[] {
  const isUsed =
    config.KMS_VAULT_KEY !== undefined ||
    config.MASTER_KEY_PREVIOUS.some(({ kind }) => kind === 'vault')
  if (config.KMS_VAULT_URL === undefined) {
    return isUsed ? ['KMS_VAULT_URL: must be set where a key of Vault is'] : []
  }
  if (!isUsed) return ['KMS_VAULT_KEY: must be set where KMS_VAULT_URL is']
  const { protocol, hostname, username, search } = new URL(config.KMS_VAULT_URL)
  if (username !== '' || search !== '') {
    return ['KMS_VAULT_URL: must have no user and no query; the token is KMS_VAULT_TOKEN']
  }
  if (protocol === 'http:' && !isThisMachine(hostname) && config.EGRESS_HTTP === 'deny') {
    return ['KMS_VAULT_URL: must be https, except to this machine (or set EGRESS_HTTP=allow)']
  }
  return []
}
