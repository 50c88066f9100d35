import { z } from '@hono/zod-openapi'
import type { ImportTools } from '../../tools/import.ts'
import { actorOf } from '../actor.ts'
import { requires } from '../middleware/auth.ts'
import { makeRouter, route } from '../route.ts'
import { body, json, orgParam, uuid } from '../schemas.ts'

const operation = z.string().openapi({ example: 'GET /pets/{id}' })
const named = z.object({ operation, toolId: uuid, name: z.string() })
const url = z.string().openapi({ description: 'That it calls, arguments in braces' })
const approval = z.enum(['auto', 'ask'])
const warnings = z.array(z.string())

const report = z
  .object({
    isDryRun: z.boolean(),
    document: z.object({ title: z.string(), version: z.string(), hash: z.string() }),
    imported: z.array(
      z.object({
        operation,
        operationId: z.string().nullable(),
        toolId: uuid.nullable().openapi({ description: 'null: of a dry run' }),
        name: z.string(),
        wireName: z.string(),
        url,
        isEnabled: z.boolean(),
        approval,
        warnings,
      }),
    ),
    changed: z.array(
      named.extend({
        url,
        isEnabled: z.boolean(),
        approval,
        fields: z.array(z.string()).openapi({ description: 'That the document has changed' }),
        kept: z
          .array(z.string())
          .openapi({ description: 'That a person has changed, and that stay so' }),
        warnings,
      }),
    ),
    unchanged: z.array(named),
    removed: z
      .array(named)
      .openapi({ description: 'Gone from the document: disabled, with their ids' }),
    skipped: z.array(z.object({ operation, reason: z.string() })),
    credentials: z
      .array(
        z.object({
          name: z.string(),
          type: z.enum(['api key', 'bearer token', 'basic', 'access token']),
          description: z.string(),
          isPresent: z.boolean(),
        }),
      )
      .openapi({ description: 'That the operations need of the integration' }),
  })
  .openapi('ToolImport')

const importRoute = route({
  method: 'post',
  path: '/orgs/{orgId}/integrations/{integrationId}/tools/import',
  tags: ['Tools'],
  summary: 'Make tools of an OpenAPI document',
  middleware: requires('org:tools:manage'),
  request: {
    params: orgParam.extend({ integrationId: uuid }),
    body: body(
      z.strictObject({
        openapi: z
          .union([z.string().min(1), z.looseObject({})], 'must be a document, or its text')
          .openapi({
            description:
              'OpenAPI 3.x or Swagger 2.0: the document itself, or its text in JSON or YAML',
          }),
        baseUrl: z.string().max(1024).optional().openapi({
          description: "What each path is put behind, in place of the document's servers",
        }),
        operations: z
          .array(z.string().min(1).max(1024))
          .max(2000)
          .optional()
          .openapi({ description: 'The only ones that are meant: `GET /pets`, or operationIds' }),
        dryRun: z.boolean().optional().openapi({ description: 'Says what would be done' }),
      }),
    ),
  },
  responses: { 200: json(report, 'What became of each operation') },
})

export interface ToolImportRoutesDeps {
  readonly importTools: ImportTools
}

export function toolImportRoutes({ importTools }: ToolImportRoutesDeps) {
  return makeRouter().openapi(importRoute, async (c) => {
    const { orgId, integrationId } = c.req.valid('param')
    const done = await importTools(orgId, integrationId, c.req.valid('json'), actorOf(c))
    return c.json(done, 200)
  })
}
