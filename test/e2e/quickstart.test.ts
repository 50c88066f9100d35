import { execFile } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'

const run = promisify(execFile)
const root = join(import.meta.dirname, '../..')

test('the quickstart shows a turn, its signed webhooks, a retry, the history, what was missed and a tool that waits, and exits 0', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'patchbay-quickstart-'))
  try {
    const { stdout } = await run(process.execPath, [join(root, 'scripts/quickstart.ts')], {
      cwd: dir,
      env: { PATH: process.env.PATH ?? '', PATCHBAY_DIR: join(dir, 'state') },
    })
    expect(stdout).toContain('weather.get returned {"city":"Lisbon","sky":"clear","celsius":21}')
    expect(stdout.match(/✓ both verified/g)).toHaveLength(6)
    expect(stdout.match(/503, so it will be tried again/g)).toHaveLength(2)
    expect(stdout).toMatch(/chat\.turn\.completed │ delivered │ +3 │ +200/)
    expect(stdout).not.toContain('NOT verified')
    expect(stdout).toMatch(
      /verdict +created_later\n +reason +The subscription was created after the event, at /,
    )
    expect(stdout).toContain('waits until a person approves it')
    expect(stdout).toMatch(/was approved by quickstart.*"isOpen":true/s)
    expect(stdout).toMatch(/door\.open +│ chat +│ quickstart │ success/)
    // The history stays: the operator's command finds it in the stopped installation.
    const sql = `select count(*) as n from patchbay.webhook_deliveries where status = 'delivered' and event_type = 'tool.exec.success'`
    const rows = await run(process.execPath, [join(root, 'scripts/sql.ts'), sql], {
      env: { PATH: process.env.PATH ?? '', PATCHBAY_DIR: join(dir, 'state') },
    })
    expect(rows.stdout).toMatch(/^n\n─\n2\n\(1 row\)/)
  } finally {
    await rm(dir, { recursive: true, force: true })
  }
})
