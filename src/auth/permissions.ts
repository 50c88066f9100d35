export const PERMISSIONS = ['org:tools:manage', 'org:tools:use', 'org:chat'] as const
export type Permission = (typeof PERMISSIONS)[number]

export const ROLES = ['owner', 'admin', 'member', 'viewer'] as const
export type Role = (typeof ROLES)[number]

/** What a route may ask for: a permission, or `org:members:manage`, which only roles grant. */
export type Requirement = Permission | 'org:members:manage'

const GRANTS: Readonly<Record<Role, readonly Requirement[]>> = {
  owner: [...PERMISSIONS, 'org:members:manage'],
  admin: [...PERMISSIONS, 'org:members:manage'],
  member: ['org:tools:use', 'org:chat'],
  viewer: [],
}

export function grantsOf(role: Role): readonly Requirement[] {
  return GRANTS[role]
}

export function isPermission(text: string): text is Permission {
  return PERMISSIONS.some((permission) => permission === text)
}
