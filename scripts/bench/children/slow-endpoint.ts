import { createServer } from 'node:http'

/**
 * Endpoints that answer `{}` after so many milliseconds, or with `never` take every request and never answer. Arguments: which,
 * and on how many ports. The ports go to the parent.
 */
const [delay = 'never', count = '1'] = process.argv.slice(2)

const ports = await Promise.all(Array.from({ length: Number(count) }, listen))
process.send?.({ ports })
process.on('disconnect', () => process.exit())

function listen(): Promise<number> {
  const server = createServer((request, response) => {
    request.resume()
    if (delay === 'never') return
    setTimeout(() => {
      response.setHeader('content-type', 'application/json')
      response.end('{}')
    }, Number(delay))
  })
  server.keepAliveTimeout = 60_000
  return new Promise((done) =>
    server.listen(0, '127.0.0.1', () => {
      const address = server.address()
      done(typeof address === 'object' && address !== null ? address.port : 0)
    }),
  )
}
