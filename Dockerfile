# syntax=docker/dockerfile:1.7
# One image for the API, for training and for the tools: `docker run IMAGE serve`, `docker run IMAGE train --preset quick`.

FROM node:24.11.1-bookworm-slim AS build
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
RUN --mount=type=cache,target=/root/.npm npm ci --ignore-scripts
COPY tsconfig.json tsconfig.build.json ./
COPY scripts ./scripts
COPY src ./src
RUN node scripts/build.mjs && npm prune --omit=dev --ignore-scripts

FROM node:24.11.1-bookworm-slim
# Large blocks go back to the system when they are freed: a server that loads models now and then keeps half the memory.
ENV NODE_ENV=production MALLOC_MMAP_THRESHOLD_=1048576
WORKDIR /app
# The user `node` (uid 1000) writes here and nowhere else: everything else may be read-only.
RUN install -d -o node -g node checkpoints data logs runs cache
COPY --from=build /app/node_modules ./node_modules
COPY --from=build /app/dist ./dist
COPY package.json ./
COPY bin ./bin
COPY config ./config
COPY monitoring ./monitoring
USER 1000:1000
EXPOSE 8000
VOLUME ["/app/checkpoints", "/app/data", "/app/logs", "/app/runs"]
# Longer than the drain: requests that have arrived are answered.
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
  CMD ["node", "-e", "fetch('http://127.0.0.1:8000/health/live').then((r) => process.exit(r.ok ? 0 : 1), () => process.exit(1))"]
ENTRYPOINT ["node", "bin/cifar.mjs"]
CMD ["serve", "--host", "0.0.0.0"]
