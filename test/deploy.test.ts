import { globSync, readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { parse, parseAllDocuments } from 'yaml'
import { z } from 'zod'
import packageJson from '../package.json' with { type: 'json' }
import { ConfigError, parseConfig, settings } from '../src/config.ts'
import { API_CONNECTIONS } from '../src/service/resources.ts'

const container = z.object({
  image: z.string(),
  command: z.array(z.string()),
  envFrom: z.array(z.record(z.string(), z.object({ name: z.string() }))),
  ports: z.array(z.object({ name: z.string(), containerPort: z.number() })).optional(),
  livenessProbe: z.object({ httpGet: z.object({ path: z.string() }) }).optional(),
  readinessProbe: z.object({ httpGet: z.object({ path: z.string() }) }).optional(),
  resources: z.object({
    requests: z.object({ cpu: z.string(), memory: z.string() }),
    limits: z.record(z.string(), z.string()),
  }),
  securityContext: z.record(z.string(), z.unknown()),
})
const podSpec = z.object({
  terminationGracePeriodSeconds: z.number().optional(),
  containers: z.array(container).length(1),
})
const workload = z.object({
  kind: z.enum(['Deployment', 'Job']),
  metadata: z.object({ name: z.string() }),
  spec: z.object({
    replicas: z.never().optional(),
    selector: z.object({ matchLabels: z.record(z.string(), z.string()) }).optional(),
    template: z.object({
      metadata: z.object({ labels: z.record(z.string(), z.string()) }),
      spec: podSpec.loose(),
    }),
  }),
})

const files = globSync('docs/deploy/kubernetes/*.yaml').toSorted()
/** What a manifest is, as far as all of them are alike. */
const manifest = z.looseObject({
  kind: z.string(),
  metadata: z.looseObject({ name: z.string(), namespace: z.string().optional() }),
})
const manifests = files.flatMap((file) =>
  parseAllDocuments(readFileSync(file, 'utf8')).map((document) => {
    if ('errors' in document && document.errors.length > 0) throw document.errors[0]
    return manifest.parse(document.toJS())
  }),
)
const named = (kind: string, name: string) =>
  manifests.find((one) => one.kind === kind && one.metadata.name === name)
const workloads = manifests
  .filter(({ kind }) => kind === 'Deployment' || kind === 'Job')
  .map((one) => workload.parse(one))
const podsOf = (name: string) => {
  const found = workloads.find(({ metadata }) => metadata.name === name)
  if (found === undefined) throw new Error(`there is no ${name}`)
  const [first] = found.spec.template.spec.containers
  if (first === undefined) throw new Error(`${name} runs nothing`)
  return { ...found.spec, pod: found.spec.template.spec, container: first }
}

/** Of the manifests alone: a process has none by itself. */
const METRICS_PORT = 9464

describe('the manifests', () => {
  test('are all in one namespace, which they make', () => {
    expect(files.length).toBeGreaterThan(6)
    const others = manifests.filter(({ kind }) => kind !== 'Namespace')
    expect(new Set(others.map(({ metadata }) => metadata.namespace))).toEqual(new Set(['patchbay']))
    expect(named('Namespace', 'patchbay')).toBeDefined()
  })

  test.each(workloads.map((one) => [one.metadata.name] as const))(
    '%s is confined as the composition is',
    (name) => {
      const { pod, container: only } = podsOf(name)
      expect(pod).toMatchObject({
        automountServiceAccountToken: false,
        enableServiceLinks: false,
        securityContext: {
          runAsNonRoot: true,
          runAsUser: 65_534,
          runAsGroup: 65_534,
          seccompProfile: { type: 'RuntimeDefault' },
        },
      })
      expect(only.securityContext).toEqual({
        readOnlyRootFilesystem: true,
        allowPrivilegeEscalation: false,
        capabilities: { drop: ['ALL'] },
      })
      for (const loosens of ['volumes', 'hostNetwork', 'hostPID', 'hostIPC', 'initContainers']) {
        expect(pod).not.toHaveProperty(loosens)
      }
    },
  )

  test('run one image, of this version', () => {
    const images = new Set(workloads.map(({ metadata }) => podsOf(metadata.name).container.image))
    expect([...images]).toEqual([`registry.example.com/patchbay:${packageJson.version}`])
  })

  test('start what the image has', () => {
    const commands = workloads.map(({ metadata }) => podsOf(metadata.name).container.command)
    for (const [program, script = ''] of commands) {
      expect(program).toBe('node')
      expect(globSync(script)).toEqual([script])
    }
    expect(podsOf('patchbay-api').container.command[2]).toBe('api')
    expect(podsOf('patchbay-worker').container.command[2]).toBe('worker')
  })

  test('ask the API whether it lives and whether it is ready, a worker nothing, and both for metrics', () => {
    const { container: api } = podsOf('patchbay-api')
    expect(api.livenessProbe?.httpGet.path).toBe('/healthz')
    expect(api.readinessProbe?.httpGet.path).toBe('/readyz')
    const portsOf = (one: typeof api) => one.ports?.map(({ containerPort }) => containerPort)
    expect(portsOf(api)).toEqual([parseConfig({}).PORT, METRICS_PORT])
    const { container: worker } = podsOf('patchbay-worker')
    expect(portsOf(worker)).toEqual([METRICS_PORT])
    expect(worker).not.toHaveProperty('livenessProbe')
  })

  test('give both the time to stop that the composition gives, and memory beyond what is held', () => {
    const compose = readFileSync('docker-compose.yml', 'utf8')
    const graceS = Number(/stop_grace_period: (\d+)s/.exec(compose)?.[1])
    for (const [name, held] of [
      ['patchbay-api', '256Mi'],
      ['patchbay-worker', '320Mi'],
    ] as const) {
      const { pod, container: only } = podsOf(name)
      expect(pod.terminationGracePeriodSeconds).toBe(graceS)
      expect(only.resources.requests.memory).toBe(held)
      expect(only.resources.limits).toEqual({ memory: '512Mi' })
    }
  })

  test('lead every selector to pods that there are', () => {
    const pods = workloads.map(({ spec }) => spec.template.metadata.labels)
    const selector = z.looseObject({ 'app.kubernetes.io/component': z.string() })
    const texts = manifests
      .filter(({ kind }) => ['Service', 'PodDisruptionBudget', 'Deployment'].includes(kind))
      .map((one) => z.looseObject({ selector: z.unknown() }).parse(one.spec).selector)
      .map((chosen) => selector.parse(Object(chosen).matchLabels ?? chosen))
    expect(texts).toHaveLength(5)
    for (const labels of texts) expect(pods).toContainEqual(labels)
  })

  test('scale what they name', () => {
    const api = named('HorizontalPodAutoscaler', 'patchbay-api')
    expect(api?.spec).toMatchObject({
      scaleTargetRef: { kind: 'Deployment', name: 'patchbay-api' },
    })
    const worker = named('ScaledObject', 'patchbay-worker')
    expect(worker?.spec).toMatchObject({
      scaleTargetRef: { name: 'patchbay-worker' },
      triggers: [{ type: 'postgresql', metricType: 'Value' }],
    })
    expect(Object(worker?.spec).minReplicaCount).toBeGreaterThan(0)
  })

  test('let nothing in but requests for the API, and out neither to the cluster nor to its metadata', () => {
    const policies = manifests.filter(({ kind }) => kind === 'NetworkPolicy')
    expect(named('NetworkPolicy', 'patchbay-nothing')?.spec).toEqual({
      podSelector: {},
      policyTypes: ['Ingress', 'Egress'],
    })
    const inward = policies.filter(({ spec }) => Array.isArray(Object(spec).ingress))
    expect(inward.map(({ metadata }) => metadata.name)).toEqual([
      'patchbay-requests',
      'patchbay-metrics',
    ])
    const text = JSON.stringify(named('NetworkPolicy', 'patchbay-internet')?.spec)
    for (const own of [
      '10.0.0.0/8',
      '172.16.0.0/12',
      '192.168.0.0/16',
      '169.254.0.0/16',
      'fc00::/7',
    ]) {
      expect(text).toContain(`"${own}"`)
    }
  })
})

describe('their settings', () => {
  const values = z.record(z.string(), z.string())
  const given = values.parse(named('ConfigMap', 'patchbay-settings')?.data)
  const secrets = values.parse(named('Secret', 'patchbay-secrets')?.stringData)

  test('are settings of Patchbay, and every workload gets them', () => {
    const known = Object.keys(settings.shape)
    expect(known).toEqual(expect.arrayContaining([...Object.keys(given), ...Object.keys(secrets)]))
    for (const { metadata } of workloads) {
      expect(podsOf(metadata.name).container.envFrom).toEqual([
        { configMapRef: { name: 'patchbay-settings' } },
        { secretRef: { name: 'patchbay-secrets' } },
      ])
    }
  })

  test('hold together with real secrets, and what they set is the default where nothing else is meant', () => {
    const real = {
      DATABASE_URL: 'postgres://patchbay:x@db.example.com/patchbay',
      MASTER_KEY: `${'A'.repeat(43)}=`,
    }
    expect(Object.keys(real)).toEqual(Object.keys(secrets))
    const config = parseConfig({ ...given, ...real })
    const plain = parseConfig({})
    const meant = Object.keys(given).filter((name) =>
      /^(AUTH|TRUSTED|CORS|PUBLIC|METRICS)_/.test(name),
    )
    for (const name of Object.keys(given).filter((one) => !meant.includes(one))) {
      expect([name, Reflect.get(config, name)]).toEqual([name, Reflect.get(plain, name)])
    }
  })

  test('have no secret among them: the example is refused', () => {
    expect(() => parseConfig({ ...given, ...secrets })).toThrow(ConfigError)
    expect(() => parseConfig({ ...given, ...secrets })).toThrow(/DATABASE_URL.*\n.*MASTER_KEY/s)
    const scaler = values.parse(named('Secret', 'patchbay-scaler')?.stringData)
    expect(scaler.connection).toMatch(/^<.*>$/)
  })
})

describe('the composition for more of each', () => {
  const override = { tag: '!override', collection: 'seq' as const, resolve: (seq: unknown) => seq }
  const scaled = z.object({
    services: z.record(
      z.string(),
      z.object({
        command: z.array(z.string()).optional(),
        ports: z.array(z.string()).optional(),
        environment: z.record(z.string(), z.string()).optional(),
      }),
    ),
  })
  const text = readFileSync('docs/deploy/compose.scale.yml', 'utf8')
  const { services } = scaled.parse(parse(text, { customTags: [override] }))

  test('gives each API a port of its own, on this machine, instead of the one that all would want', () => {
    expect(text).toContain('ports: !override')
    expect(services.api?.ports).toEqual(['127.0.0.1:8787-8796:8787'])
    expect(services.worker).not.toHaveProperty('ports')
  })

  test('changes services that there are, by settings that there are', () => {
    const base = z
      .object({ services: z.record(z.string(), z.unknown()) })
      .parse(parse(readFileSync('docker-compose.yml', 'utf8'), { merge: true }))
    expect(Object.keys(base.services)).toEqual(expect.arrayContaining(Object.keys(services)))
    expect(Object.keys(settings.shape)).toEqual(
      expect.arrayContaining(Object.keys(services.worker?.environment ?? {})),
    )
  })
})

test('every file that a document of the deployment names is there', () => {
  const text = readFileSync('docs/deploy/README.md', 'utf8')
  const commands = [...text.matchAll(/```sh\n([\s\S]*?)```/g)].map(([, block = '']) => block).join()
  const applied = [...commands.matchAll(/-f ([\w.-]+\.yaml)/g)].map(([, name = '']) => name)
  const there = files.map((file) => file.split('/').at(-1))
  expect(there).toEqual(expect.arrayContaining(applied))
  // Every one but the example, of which a copy is.
  expect(new Set(applied)).toEqual(new Set(there.filter((name) => !name?.includes('example'))))
})

describe('docs/scaling.md', () => {
  const text = readFileSync('docs/scaling.md', 'utf8')

  test('counts the connections that each kind of process opens', () => {
    const code = globSync('src/{service,jobs}/*.ts')
      .filter((file) => !file.endsWith('.test.ts'))
      .map((file) => readFileSync(file, 'utf8'))
      .join('\n')
      .replaceAll('max: API_CONNECTIONS', `max: ${API_CONNECTIONS}`)
    const pools = new Map(
      [...code.matchAll(/max: (\d+),\s+applicationName: '([^']+)'/g)].map(([, most, name = '']) => [
        name,
        Number(most),
      ]),
    )
    // Beside its pool pg-boss has one that listens.
    const jobs = /application_name: '([^']+)',[^}]*?max: (\d+)/.exec(code)
    pools.set(jobs?.[1] ?? '', Number(jobs?.[2]) + 1)

    for (const [, name = ''] of code.matchAll(/openListener\({[^}]*?applicationName: '([^']+)'/g))
      pools.set(name, 1)

    const rows = [...text.matchAll(/^\| `(patchbay[^`]*)`[^|]*\| (\d*) ?\| (\d*) ?\|$/gm)]
    const counted = rows.map(([, name = '', ofApi, ofWorker]) => ({
      name,
      ofApi: Number(ofApi),
      ofWorker: Number(ofWorker),
    }))
    expect(counted.map(({ name }) => name).toSorted()).toEqual([...pools.keys()].toSorted())
    for (const { name, ofApi, ofWorker } of counted) {
      expect([name, Math.max(ofApi, ofWorker)]).toEqual([name, pools.get(name)])
    }
    const sum = (key: 'ofApi' | 'ofWorker') => counted.reduce((total, row) => total + row[key], 0)
    expect(text).toContain(`| together | ${sum('ofApi')} | ${sum('ofWorker')} |`)
    const both = counted.reduce((total, row) => total + Math.max(row.ofApi, row.ofWorker), 0)
    expect(text).toContain(
      `${sum('ofApi')} for each API, ${sum('ofWorker')} for each worker, ${both} for a process that is both`,
    )
  })

  test('names tests that there are, and every statement of the hot path', () => {
    const tests = [...text.matchAll(/`(src\/[\w/.-]+\.test\.ts)`/g)].map(([, file = '']) => file)
    expect(tests.length).toBeGreaterThan(3)
    for (const file of tests) expect(globSync(file)).toEqual([file])
    const names = globSync('src/{outbox,delivery}/*.ts').flatMap((file) =>
      [...readFileSync(file, 'utf8').matchAll(/\bname: '([a-z_]+)'/g)].map(([, name = '']) => name),
    )
    for (const name of names) expect(text).toContain(`\`${name}\``)
  })
})
