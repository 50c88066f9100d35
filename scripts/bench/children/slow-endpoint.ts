import { createServer } from 'node:http'

/**
 * An endpoint that answers `{}` after the milliseconds of its argument; with none it takes every request and never answers.
 * Its port goes to the parent.
 */
const [delayMs] = process.argv.slice(2)

const server = createServer((request, response) => {
  request.resume()
  if (delayMs === undefined) return
  setTimeout(() => {
    response.setHeader('content-type', 'application/json')
    response.end('{}')
  }, Number(delayMs))
})
server.keepAliveTimeout = 60_000
server.requestTimeout = 0
server.listen(0, '127.0.0.1', () => {
  const address = server.address()
  process.send?.({ port: typeof address === 'object' && address !== null ? address.port : 0 })
})
process.on('disconnect', () => process.exit())
