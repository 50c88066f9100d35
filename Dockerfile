FROM node:26-slim AS dependencies
WORKDIR /app
COPY package.json package-lock.json ./
# The image brings its own Node, and Postgres runs beside it: neither is installed from npm.
RUN npm install --no-save --no-audit --no-fund --omit=dev --omit=optional --ignore-scripts

FROM node:26-slim
ENV NODE_ENV=production HOST=0.0.0.0 PORT=8787
# As `scripts/run.mjs` has it: a tenth less memory.
ENV MALLOC_ARENA_MAX=1 MALLOC_TRIM_THRESHOLD_=131072
# Nothing that could fetch or install code is needed from here on.
RUN rm -rf /usr/local/lib/node_modules /usr/local/bin/npm /usr/local/bin/npx /usr/local/bin/corepack /usr/local/bin/yarn* /opt/yarn*
WORKDIR /app
COPY --from=dependencies /app/node_modules node_modules
COPY package.json LICENSE ./
COPY migrations migrations
COPY scripts scripts
COPY src src
# Nobody: every file above is root's, and with DATABASE_URL nothing is written, so the file system may be read-only.
USER 65534:65534
EXPOSE 8787
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s \
  CMD ["node", "-e", "fetch(`http://127.0.0.1:${process.env.PORT}/readyz`).then((r) => process.exit(r.ok ? 0 : 1), () => process.exit(1))"]
CMD ["node", "src/main.ts"]
