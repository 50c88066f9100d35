import { SECURITY_HEADERS } from './security-headers.ts'

/** What a connection is answered that brought no request the API could be asked with. */
export interface Refusal {
  readonly status: 400 | 408 | 413 | 417 | 431 | 500
  readonly error: string
  readonly detail: string
}

/** Of a request whose head was read, as Node has it. */
interface Head {
  readonly httpVersion: string
  readonly rawHeaders: readonly string[]
}

const TITLES: Readonly<Record<Refusal['status'], string>> = {
  400: 'Bad Request',
  408: 'Request Timeout',
  413: 'Payload Too Large',
  417: 'Expectation Failed',
  431: 'Request Header Fields Too Large',
  500: 'Internal Server Error',
}
const MAX_HEADERS = 100

const malformed = (detail: string): Refusal => ({ status: 400, error: 'INVALID_REQUEST', detail })

/** What Node's parser says, by the code of its error. */
export function refusalOf(code: string): Refusal {
  switch (code) {
    case 'HPE_HEADER_OVERFLOW':
      return { status: 431, error: 'HEADERS_TOO_LARGE', detail: 'The headers are over 16 KiB.' }
    case 'HPE_CHUNK_EXTENSIONS_OVERFLOW':
      return {
        status: 413,
        error: 'PAYLOAD_TOO_LARGE',
        detail: 'The chunk extensions are too long.',
      }
    case 'ERR_HTTP_REQUEST_TIMEOUT':
      return { status: 408, error: 'REQUEST_TIMEOUT', detail: 'The request did not come in time.' }
    default:
      return malformed('This is not an HTTP request.')
  }
}

export const BAD_TARGET: Refusal = malformed('The request target or the Host header is not valid.')
export const BROKEN: Refusal = {
  status: 500,
  error: 'INTERNAL',
  detail: 'An error inside Patchbay. The log has it under this request id.',
}
export const NO_EXPECTATION: Refusal = {
  status: 417,
  error: 'EXPECTATION_FAILED',
  detail: 'Only "Expect: 100-continue" is understood.',
}

/**
 * What Node's parser lets through and a proxy in front may read in another way: no host or two, or a body whose end is told by a
 * coding that is not plain `chunked`. Node also drops headers beyond a number silently, so it is given none, and they are
 * counted here. [RFC 9112 §3.2, §6.1]
 */
export function headProblem({ httpVersion, rawHeaders }: Head): Refusal | null {
  if (rawHeaders.length > 2 * MAX_HEADERS) {
    const detail = `There are more than ${MAX_HEADERS} headers.`
    return { status: 431, error: 'HEADERS_TOO_LARGE', detail }
  }
  const valuesOf = (name: string) =>
    rawHeaders.filter((_, at) => at % 2 === 1 && rawHeaders[at - 1]?.toLowerCase() === name)
  const [host, ...moreHosts] = valuesOf('host')
  if (moreHosts.length > 0) return malformed('There is more than one Host header.')
  // HTTP/1.0 need not name one: the probes of simple load balancers do not.
  if (host === '' || (host === undefined && httpVersion !== '1.0')) {
    return malformed('There is no Host header.')
  }
  const [coding] = valuesOf('transfer-encoding')
  if (coding === undefined) return null
  const isPlain = coding.toLowerCase() === 'chunked' && httpVersion === '1.1'
  return isPlain ? null : malformed('The only transfer coding that is understood is chunked.')
}

function bodyOf({ status, error, detail }: Refusal, requestId: string): string {
  const title = TITLES[status]
  return JSON.stringify({
    type: 'about:blank',
    title,
    status,
    detail,
    instance: '',
    error,
    requestId,
  })
}

function headersOf(requestId: string) {
  return {
    ...SECURITY_HEADERS,
    'content-type': 'application/problem+json',
    'x-request-id': requestId,
    // What follows on such a connection cannot be trusted to be a request.
    connection: 'close',
  }
}

export function refusalResponse(refusal: Refusal, requestId: string): Response {
  const { status } = refusal
  return new Response(bodyOf(refusal, requestId), { status, headers: headersOf(requestId) })
}

/** The same as bytes, for a connection on which there is no request to answer. */
export function refusalBytes(refusal: Refusal, requestId: string): string {
  const body = bodyOf(refusal, requestId)
  const headers = { ...headersOf(requestId), 'content-length': Buffer.byteLength(body) }
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`)
  const head = `HTTP/1.1 ${refusal.status} ${TITLES[refusal.status]}\r\n${lines.join('')}`
  return `${head}\r\n${body}`
}
