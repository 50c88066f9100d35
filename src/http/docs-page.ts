interface Operation {
  readonly summary?: string
  readonly tags?: readonly string[]
  readonly parameters?: readonly {
    name: string
    in: string
    required?: boolean
    schema?: unknown
  }[]
  readonly requestBody?: { content?: Record<string, { schema?: unknown }> }
  readonly responses?: Record<
    string,
    { description?: string; content?: Record<string, { schema?: unknown }> }
  >
}

interface OpenApiDocument {
  readonly info: { readonly title: string; readonly version: string; readonly description?: string }
  readonly paths: Record<string, Record<string, Operation>>
  readonly components?: { readonly schemas?: Record<string, unknown> }
}

const STYLE = `
:root{color-scheme:light dark;--line:#8884;--dim:#777;--code:#8881}
body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}
h1{font-size:1.5rem;margin-bottom:.2rem}h2{margin-top:2.5rem;border-bottom:1px solid var(--line)}
nav a{margin-right:1rem}details{border:1px solid var(--line);border-radius:6px;margin:.5rem 0}
summary{padding:.5rem .8rem;cursor:pointer}summary code{font-size:.95em}
.method{display:inline-block;width:4.2rem;font-weight:700;font-size:.8rem}
.get{color:#2563eb}.post{color:#15803d}.patch,.put{color:#b45309}.delete{color:#b91c1c}
.what{color:var(--dim);margin-left:.6rem}.in{padding:0 1rem 1rem}
pre{background:var(--code);padding:.7rem;border-radius:6px;overflow:auto;font-size:.85rem}
table{border-collapse:collapse}td,th{padding:.15rem .8rem .15rem 0;text-align:left;vertical-align:top}`

/** The API's documentation as one page: no script, nothing loaded from anywhere. */
export function docsPage(document: unknown): string {
  // The document is our own router's; its type here names what this page shows of it.
  const { info, paths, components } = document as OpenApiDocument
  const tags = new Map<string, string[]>()
  for (const [path, methods] of Object.entries(paths)) {
    for (const [method, operation] of Object.entries(methods)) {
      const tag = operation.tags?.[0] ?? 'Other'
      tags.set(tag, [...(tags.get(tag) ?? []), showOperation(method, path, operation)])
    }
  }
  const sections = [...tags].map(
    ([tag, operations]) => `<h2 id="${slug(tag)}">${html(tag)}</h2>${operations.join('')}`,
  )
  const links = [...tags.keys(), 'Schemas'].map((tag) => `<a href="#${slug(tag)}">${html(tag)}</a>`)
  const schemas = Object.entries(components?.schemas ?? {}).map(
    ([name, schema]) =>
      `<details id="schema-${slug(name)}"><summary><code>${html(name)}</code></summary><div class="in">${pre(schema)}</div></details>`,
  )
  return `<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>${html(info.title)}</title><style>${STYLE}</style>
<h1>${html(info.title)} <small>${html(info.version)}</small></h1>
<p>${html(info.description ?? '')} Machine-readable: <a href="/openapi.json">/openapi.json</a>.</p>
<nav>${links.join('')}</nav>${sections.join('')}
<h2 id="schemas">Schemas</h2>${schemas.join('')}</html>`
}

function showOperation(method: string, path: string, operation: Operation): string {
  const parameters = operation.parameters ?? []
  const rows = parameters.map(
    (parameter) =>
      `<tr><td><code>${html(parameter.name)}</code><td>${html(parameter.in)}${parameter.required === true ? '' : ', optional'}<td><code>${html(JSON.stringify(parameter.schema))}</code>`,
  )
  const request = schemaOf(operation.requestBody?.content)
  const responses = Object.entries(operation.responses ?? {}).map(([status, response]) => {
    const schema = schemaOf(response.content)
    return `<p><b>${html(status)}</b> ${html(response.description ?? '')}</p>${schema === undefined || status === 'default' ? '' : pre(schema)}`
  })
  return `<details><summary><span class="method ${html(method)}">${html(method.toUpperCase())}</span><code>${html(path)}</code><span class="what">${html(operation.summary ?? '')}</span></summary>
<div class="in">${rows.length === 0 ? '' : `<table>${rows.join('')}</table>`}
${request === undefined ? '' : `<p><b>Body</b></p>${pre(request)}`}${responses.join('')}</div></details>`
}

function schemaOf(content: Record<string, { schema?: unknown }> | undefined): unknown {
  return Object.values(content ?? {})[0]?.schema
}

function pre(schema: unknown): string {
  return `<pre>${html(JSON.stringify(schema, null, 2))}</pre>`
}

function slug(text: string): string {
  return text.toLowerCase().replace(/[^a-z0-9]+/g, '-')
}

function html(text: string): string {
  return text
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;')
}
