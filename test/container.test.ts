import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { parse } from 'yaml'
import { z } from 'zod'
import packageJson from '../package.json' with { type: 'json' }

interface Instruction {
  readonly name: string
  readonly value: string
}

/** Of the last stage of the Dockerfile: what runs. */
function readFinalStage(): Instruction[] {
  const text = readFileSync('Dockerfile', 'utf8').replaceAll(/\\\n/g, ' ')
  const instructions = text
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map((line) => ({ name: line.split(' ')[0] ?? '', value: line.slice(line.indexOf(' ') + 1) }))
  return instructions.slice(instructions.findLastIndex(({ name }) => name === 'FROM'))
}

const composeFile = z.object({
  services: z.record(
    z.string(),
    z.object({
      build: z.string().optional(),
      command: z.array(z.string()).optional(),
      ports: z.array(z.string()).optional(),
      user: z.string().optional(),
      privileged: z.boolean().optional(),
      read_only: z.boolean().optional(),
      cap_drop: z.array(z.string()).optional(),
      cap_add: z.array(z.string()).optional(),
      security_opt: z.array(z.string()).optional(),
      volumes: z.array(z.string()).optional(),
      tmpfs: z.unknown().optional(),
    }),
  ),
})

describe('the image', () => {
  const stage = readFinalStage()
  const valuesOf = (wanted: string) =>
    stage.filter(({ name }) => name === wanted).map(({ value }) => value)

  test('runs as a user without rights, by number, and as nobody else', () => {
    expect(valuesOf('USER')).toEqual(['65534:65534'])
  })

  test('has nothing in it that this user owns', () => {
    const after = stage.slice(stage.findIndex(({ name }) => name === 'USER') + 1)
    expect(after.map(({ name }) => name)).not.toContain('RUN')
    expect(after.map(({ name }) => name)).not.toContain('COPY')
    expect(stage.map(({ value }) => value).join()).not.toMatch(/--chown|--chmod|chown|chmod/)
  })

  test('gives the allocator what `npm run` gives it', () => {
    const words = valuesOf('ENV').flatMap((value) => value.split(/ +/))
    const set = Object.fromEntries(words.map((word) => word.split('=')))
    expect(Object.keys(packageJson.config)).toContain('MALLOC_ARENA_MAX')
    expect(set).toMatchObject(packageJson.config)
  })

  test('has no npm when it runs, and starts without one', () => {
    expect(valuesOf('RUN').join()).toMatch(/rm -rf \/usr\/local\/lib\/node_modules/)
    expect(valuesOf('CMD')).toEqual(['["node", "src/main.ts"]'])
    expect(valuesOf('ENTRYPOINT')).toEqual([])
  })

  test('says whether it is ready', () => {
    const [check = ''] = valuesOf('HEALTHCHECK')
    expect(check).toContain('/readyz')
    const command: unknown = JSON.parse(check.slice(check.indexOf('[')))
    expect(command).toEqual(['node', '-e', expect.any(String)])
  })

  test('is built of what is listed, and not of what lies around', () => {
    const lines = readFileSync('.dockerignore', 'utf8').trim().split('\n')
    expect(lines[0]).toBe('*')
    const taken = lines.filter((line) => line.startsWith('!'))
    expect(taken.join()).not.toMatch(/\.env|\.git|\.patchbay|test|\*/)
  })
})

describe('the composition', () => {
  const text = readFileSync('docker-compose.yml', 'utf8')
  const { services } = composeFile.parse(parse(text, { merge: true }))
  const own = Object.entries(services).filter(([, { build }]) => build !== undefined)

  test('has an API and a worker', () => {
    expect(own.map(([name]) => name)).toEqual(['api', 'worker'])
  })

  test.each(own)('%s is read-only, without capabilities and cannot gain any', (_, service) => {
    expect(service).toMatchObject({
      read_only: true,
      cap_drop: ['ALL'],
      security_opt: ['no-new-privileges:true'],
    })
    for (const loosens of ['cap_add', 'privileged', 'user', 'volumes', 'tmpfs']) {
      expect(service).not.toHaveProperty(loosens)
    }
  })

  test('is reached from this machine only, and its secrets have no defaults', () => {
    const ports = Object.values(services).flatMap(({ ports: listed = [] }) => listed)
    expect(ports.every((port) => port.startsWith('127.0.0.1:'))).toBe(true)
    expect(text).toMatch(/MASTER_KEY: \$\{MASTER_KEY:\?/)
    expect(text).toMatch(/AUTH_JWT_SECRET: \$\{AUTH_JWT_SECRET:\?/)
  })
})
