import { defineConfig } from 'vitest/config'

// One project after the other: the later ones kill processes and measure time.

export default defineConfig({
  test: {
    projects: [
      {
        test: {
          name: 'unit',
          sequence: { groupOrder: 0 },
          include: [
            'src/**/*.test.ts',
            'scripts/**/*.test.ts',
            'test/{architecture,container,deploy}.test.ts',
            'test/{conformance,doubles}/**/*.test.ts',
          ],
          exclude: ['src/**/*.pg.test.ts'],
        },
      },
      {
        test: {
          name: 'pg',
          sequence: { groupOrder: 1 },
          include: ['src/**/*.pg.test.ts', 'test/**/*.pg.test.ts'],
          globalSetup: ['test/fixtures/global-setup.ts'],
          testTimeout: 30_000,
          hookTimeout: 30_000,
        },
      },
      {
        test: {
          name: 'e2e',
          sequence: { groupOrder: 2 },
          include: ['test/{e2e,conformance-mcp}/**/*.test.ts'],
          globalSetup: ['test/fixtures/global-setup.ts'],
          testTimeout: 120_000,
          hookTimeout: 60_000,
          fileParallelism: false,
        },
      },
      {
        test: {
          name: 'behaviours',
          sequence: { groupOrder: 3 },
          include: ['test/{behaviours,host}/**/*.test.ts'],
          globalSetup: ['test/fixtures/global-setup.ts'],
          testTimeout: 60_000,
          hookTimeout: 60_000,
          fileParallelism: false,
        },
      },
      {
        test: {
          name: 'chaos',
          sequence: { groupOrder: 4 },
          include: ['test/chaos/**/*.test.ts'],
          testTimeout: 120_000,
          hookTimeout: 60_000,
          fileParallelism: false,
        },
      },
    ],
  },
})
