import { z } from '@hono/zod-openapi'
import type { makeAudit } from '../../auth/audit.ts'
import type { makeMembers } from '../../auth/members.ts'
import type { makeOrgs } from '../../auth/orgs.ts'
import { ROLES } from '../../auth/permissions.ts'
import { isUserId } from '../../auth/principal.ts'
import { decodeCursor } from '../../core/cursor.ts'
import { isOrgId } from '../../core/id.ts'
import { actorOf } from '../actor.ts'
import { requires, requiresSuperadmin } from '../middleware/auth.ts'
import { makeRouter, route } from '../route.ts'
import { body, json, nextCursor, ok, orgParam, pageQuery, time, uuid } from '../schemas.ts'

const org = z.object({ id: z.string(), name: z.string(), createdAt: time }).openapi('Org')
const member = z.object({ userId: z.string(), role: z.enum(ROLES) }).openapi('Member')
const auditEntry = z
  .object({
    id: uuid,
    at: time,
    principal: z.string(),
    action: z.string().openapi({ example: 'webhook.updated' }),
    target: z.string(),
    address: z.string().nullable(),
    requestId: z.string().nullable(),
    detail: z.record(z.string(), z.unknown()),
  })
  .openapi('AuditEntry')
const userParam = orgParam.extend({ userId: z.string().refine(isUserId) })
const tags = ['Orgs']

const createOrg = route({
  method: 'post',
  path: '/orgs',
  tags,
  summary: 'Create an org (super-admin)',
  middleware: requiresSuperadmin,
  request: {
    body: body(
      z.strictObject({
        id: z
          .string()
          .refine(isOrgId, 'must be 1 to 128 of letters, digits and _ . : @ | -')
          .optional(),
        name: z.string().trim().min(1).max(200),
      }),
    ),
  },
  responses: { 201: json(z.object({ org }), 'Created') },
})

const listOrgs = route({
  method: 'get',
  path: '/orgs',
  tags,
  summary: 'List orgs (super-admin)',
  middleware: requiresSuperadmin,
  request: { query: pageQuery },
  responses: { 200: json(z.object({ orgs: z.array(org), nextCursor }), 'Newest first') },
})

const deleteOrg = route({
  method: 'delete',
  path: '/orgs/{orgId}',
  tags,
  summary: 'Delete an org and everything of it (super-admin)',
  middleware: requiresSuperadmin,
  request: { params: orgParam },
  responses: { 200: json(ok, 'Deleted') },
})

const listMembers = route({
  method: 'get',
  path: '/orgs/{orgId}/members',
  tags,
  summary: 'List members',
  middleware: requires('org:members:manage'),
  request: { params: orgParam },
  responses: { 200: json(z.object({ members: z.array(member) }), 'All of them') },
})

const putMember = route({
  method: 'put',
  path: '/orgs/{orgId}/members/{userId}',
  tags,
  summary: 'Add a member or change its role',
  middleware: requires('org:members:manage'),
  request: { params: userParam, body: body(z.strictObject({ role: z.enum(ROLES) })) },
  responses: { 200: json(z.object({ member }), 'As it is now') },
})

const deleteMember = route({
  method: 'delete',
  path: '/orgs/{orgId}/members/{userId}',
  tags,
  summary: 'Remove a member',
  middleware: requires('org:members:manage'),
  request: { params: userParam },
  responses: { 200: json(ok, 'Removed') },
})

const listAudit = route({
  method: 'get',
  path: '/orgs/{orgId}/audit',
  tags,
  summary: 'Who changed what',
  middleware: requires('org:tools:manage'),
  request: { params: orgParam, query: pageQuery },
  responses: {
    200: json(z.object({ entries: z.array(auditEntry), nextCursor }), 'Newest first'),
  },
})

export interface OrgRoutesDeps {
  readonly orgs: ReturnType<typeof makeOrgs>
  readonly members: ReturnType<typeof makeMembers>
  readonly audit: Pick<ReturnType<typeof makeAudit>, 'list'>
}

export function orgRoutes({ orgs, members, audit }: OrgRoutesDeps) {
  return makeRouter()
    .openapi(createOrg, async (c) =>
      c.json({ org: await orgs.create(c.req.valid('json'), actorOf(c)) }, 201),
    )
    .openapi(listOrgs, async (c) => {
      const { limit, cursor } = c.req.valid('query')
      return c.json(await orgs.list({ limit, after: decodeCursor(cursor, isOrgId) }), 200)
    })
    .openapi(deleteOrg, async (c) => {
      await orgs.remove(c.req.valid('param').orgId, actorOf(c))
      return c.json({ ok: true as const }, 200)
    })
    .openapi(listMembers, async (c) =>
      c.json({ members: await members.list(c.req.valid('param').orgId) }, 200),
    )
    .openapi(putMember, async (c) => {
      const { orgId, userId } = c.req.valid('param')
      const { role } = c.req.valid('json')
      return c.json({ member: await members.put(orgId, userId, role, actorOf(c)) }, 200)
    })
    .openapi(deleteMember, async (c) => {
      const { orgId, userId } = c.req.valid('param')
      await members.remove(orgId, userId, actorOf(c))
      return c.json({ ok: true as const }, 200)
    })
    .openapi(listAudit, async (c) => {
      const { limit, cursor } = c.req.valid('query')
      const page = { limit, after: decodeCursor(cursor) }
      return c.json(await audit.list(c.req.valid('param').orgId, page), 200)
    })
}
