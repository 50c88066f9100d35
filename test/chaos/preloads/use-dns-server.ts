import dns from 'node:dns/promises'
import { syncBuiltinESMExports } from 'node:module'

/** A preload (`node --import`): every resolver asks the name server in `CHAOS_DNS`, as if resolv.conf named it. */
class StubbedResolver extends dns.Resolver {
  constructor(...options: ConstructorParameters<typeof dns.Resolver>) {
    super(...options)
    this.setServers([process.env.CHAOS_DNS ?? ''])
  }
}

dns.Resolver = StubbedResolver
syncBuiltinESMExports()
