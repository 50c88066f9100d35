FROM node:26-slim AS dependencies
WORKDIR /app
COPY package.json package-lock.json ./
# The image brings its own Node, and Postgres runs beside it: neither is installed from npm.
RUN npm install --no-save --no-audit --no-fund --omit=dev --omit=optional --ignore-scripts

FROM node:26-slim
ENV NODE_ENV=production HOST=0.0.0.0
WORKDIR /app
COPY --from=dependencies /app/node_modules node_modules
COPY package.json LICENSE ./
COPY migrations migrations
COPY scripts scripts
COPY src src
USER node
EXPOSE 8787
CMD ["node", "src/main.ts"]
