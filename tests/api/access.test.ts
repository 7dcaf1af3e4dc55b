import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { FastifyInstance } from "fastify";
import { describe, expect, it, onTestFinished } from "vitest";
import { type ApiKeys, createApiKey, readApiKeys } from "../../src/http/access/api-keys.ts";
import { type AccessPolicy, loopbackPolicy } from "../../src/http/access/policy.ts";
import { apiErrorSchema } from "../../src/http/errors/api-error-schema.ts";
import { createLogger } from "../../src/observability/logger.ts";
import { createServiceMetrics } from "../../src/observability/metrics.ts";
import { createSystemMonitor } from "../../src/observability/system.ts";
import { createApp } from "../../src/serving/app.ts";

import { repositoryOf } from "./repository.ts";
import { tinyMetadata } from "./tiny-bundle.ts";

const predictKey = createApiKey("reader", ["predict"]);
const adminKey = createApiKey("ops", ["admin"]);

async function keysOf(...lines: string[]): Promise<ApiKeys> {
  const root = await mkdtemp(join(tmpdir(), "keys-"));
  onTestFinished(() => rm(root, { recursive: true }));
  await writeFile(join(root, "keys.txt"), ["# keys", "", ...lines].join("\n"));
  return readApiKeys(join(root, "keys.txt"));
}

async function appWith(policy: Partial<AccessPolicy>, now?: () => number): Promise<FastifyInstance> {
  const system = createSystemMonitor();
  const app = await createApp({
    models: repositoryOf({
      bundle: { directory: "/none", metadata: { ...tinyMetadata(), modelSha256: "0".repeat(64) } },
    }),
    metrics: createServiceMetrics({ system }),
    system,
    logger: createLogger({ level: "silent" }),
    version: "1.2.3",
    access: { ...loopbackPolicy, ...policy },
    ...(now === undefined ? {} : { now }),
  });
  onTestFinished(() => app.close());
  return app;
}

type Headers = Record<string, string>;
async function code(app: FastifyInstance, method: "GET" | "POST", url: string, headers: Headers = {}) {
  const response = await app.inject({ method, url, headers });
  return `${response.statusCode} ${response.statusCode < 400 ? "" : apiErrorSchema.parse(response.json()).code}`.trim();
}
const bearer = (key: string) => ({ authorization: `Bearer ${key}` });
/** What each kind of change answers to a request that is let in: nothing stands behind it here. */
const changes = {
  "/alerts/test": "501 NOT_CONFIGURED",
  "/v2/repository/models/none/load": "404 MODEL_NOT_FOUND",
  "/v2/repository/models/none/unload": "404 MODEL_NOT_FOUND",
};

describe("changes of state", () => {
  it("need no key on loopback without keys", async () => {
    const app = await appWith({});
    for (const [url, answer] of Object.entries(changes)) expect(await code(app, "POST", url)).toBe(answer);
  });

  it("are refused off loopback as long as there are no keys, and reading is not", async () => {
    const app = await appWith({ listenHost: "0.0.0.0" });
    for (const url of [...Object.keys(changes), "/alerts/recipients", "/alerts/thresholds", "/feedback"]) {
      expect(await code(app, "POST", url), url).toBe("403 FORBIDDEN");
    }
    for (const url of ["/health", "/metrics", "/models", "/classes", "/v2"])
      expect(await code(app, "GET", url)).toBe("200");
    expect(await code(app, "POST", "/predict")).toBe("415 UNSUPPORTED_MEDIA_TYPE");
    const open = await appWith({ listenHost: "0.0.0.0", mode: "open" });
    expect(await code(open, "POST", "/alerts/test")).toBe("501 NOT_CONFIGURED");
  });

  it("need a key with the right scope where there are keys, on loopback too", async () => {
    const keys = await keysOf(predictKey.line, adminKey.line);
    for (const listenHost of ["127.0.0.1", "0.0.0.0"]) {
      const app = await appWith({ keys, listenHost });
      for (const [url, answer] of Object.entries(changes)) {
        expect(await code(app, "POST", url)).toBe("401 UNAUTHENTICATED");
        expect(await code(app, "POST", url, bearer(`${adminKey.key}x`))).toBe("401 UNAUTHENTICATED");
        expect(await code(app, "POST", url, bearer(predictKey.key))).toBe("403 FORBIDDEN");
        expect(await code(app, "POST", url, bearer(adminKey.key))).toBe(answer);
        expect(await code(app, "POST", url, { "x-api-key": adminKey.key })).toBe(answer);
      }
      expect(await code(app, "POST", "/feedback", bearer(adminKey.key))).toBe("403 FORBIDDEN");
      expect(await code(app, "POST", "/feedback", bearer(predictKey.key))).toBe("400 REQUEST_INVALID");
      expect(await code(app, "POST", "/predict")).toBe("415 UNSUPPORTED_MEDIA_TYPE");
    }
  });

  it("say how to authenticate", async () => {
    const app = await appWith({ keys: await keysOf(adminKey.line) });
    const response = await app.inject({ method: "POST", url: "/alerts/test" });
    expect(response.headers["www-authenticate"]).toMatch(/^Bearer /);
  });

  it("include predictions when that is configured", async () => {
    const app = await appWith({ keys: await keysOf(predictKey.line), predictionsNeedKey: true });
    expect(await code(app, "POST", "/predict")).toBe("401 UNAUTHENTICATED");
    expect(await code(app, "POST", "/v2/models/tiny_trainer/infer")).toBe("401 UNAUTHENTICATED");
    expect(await code(app, "POST", "/predict", bearer(predictKey.key))).toBe("415 UNSUPPORTED_MEDIA_TYPE");
  });

  it("limit guessing", async () => {
    let now = 0;
    const app = await appWith({ keys: await keysOf(adminKey.line) }, () => now);
    const guess = () => code(app, "POST", "/alerts/test", bearer("cifar_guess"));
    for (let i = 0; i < 10; i++) expect(await guess()).toBe("401 UNAUTHENTICATED");
    expect(await guess()).toBe("429 RATE_LIMITED");
    now += 6001;
    expect(await guess()).toBe("401 UNAUTHENTICATED");
    expect(await code(app, "POST", "/alerts/test", bearer(adminKey.key))).toBe("501 NOT_CONFIGURED");
  });
});

describe("files of keys", () => {
  it("hold no key, and are refused with the line's number when they are wrong", async () => {
    expect(predictKey.line).not.toContain(predictKey.key);
    expect(predictKey.key).toMatch(/^cifar_[A-Za-z0-9_-]{43}$/);
    expect((await keysOf(predictKey.line, adminKey.line)).count).toBe(2);
    await expect(keysOf("nonsense")).rejects.toMatchObject({
      code: "CONFIG_INVALID",
      message: expect.stringContaining("line 3"),
    });
    await expect(keysOf(predictKey.line, predictKey.line)).rejects.toThrow(/two keys named reader/);
    await expect(keysOf(`ops:root:${"0".repeat(64)}`)).rejects.toMatchObject({ code: "CONFIG_INVALID" });
    await expect(readApiKeys("/none/keys.txt")).rejects.toMatchObject({ code: "CONFIG_UNREADABLE" });
    expect(() => createApiKey("a name", ["admin"])).toThrow(/NAME:SCOPES/);
  });
});

describe("the Host header", () => {
  it.each([
    ["localhost:8000", "200"],
    ["127.0.0.1", "200"],
    ["[::1]:8000", "200"],
    ["LOCALHOST", "200"],
    ["evil.example", "421 HOST_NOT_ALLOWED"],
    ["127.0.0.1.evil.example", "421 HOST_NOT_ALLOWED"],
    ["localhost.evil.example:8000", "421 HOST_NOT_ALLOWED"],
    ["192.168.1.5", "421 HOST_NOT_ALLOWED"],
    ["localhost@evil.example", "421 HOST_NOT_ALLOWED"],
    ["api.example.org", "200"],
  ])("%s on loopback: %s", async (host, answer) => {
    const app = await appWith({ allowedHosts: ["api.example.org"] });
    expect(await code(app, "GET", "/health", { host })).toBe(answer);
  });

  it("may be any off loopback, unless some are named", async () => {
    const any = await appWith({ listenHost: "0.0.0.0" });
    expect(await code(any, "GET", "/health", { host: "cifar-api:8000" })).toBe("200");
    const some = await appWith({ listenHost: "0.0.0.0", allowedHosts: ["cifar-api"] });
    expect(await code(some, "GET", "/health", { host: "cifar-api:8000" })).toBe("200");
    expect(await code(some, "GET", "/health", { host: "other" })).toBe("421 HOST_NOT_ALLOWED");
  });
});

describe("pages of other sites", () => {
  it("can neither change nor predict anything", async () => {
    const app = await appWith({});
    for (const url of [...Object.keys(changes), "/predict", "/feedback"]) {
      expect(await code(app, "POST", url, { origin: "https://evil.example" })).toBe("403 ORIGIN_NOT_ALLOWED");
      expect(await code(app, "POST", url, { origin: "null" })).toBe("403 ORIGIN_NOT_ALLOWED");
      expect(await code(app, "POST", url, { "sec-fetch-site": "cross-site" })).toBe("403 ORIGIN_NOT_ALLOWED");
      expect(await code(app, "POST", url, { origin: "http://localhost:5000" })).toBe("403 ORIGIN_NOT_ALLOWED");
    }
    const own = { origin: "http://localhost:8000", host: "localhost:8000", "sec-fetch-site": "same-origin" };
    expect(await code(app, "POST", "/alerts/test", own)).toBe("501 NOT_CONFIGURED");
  });

  it("get no CORS headers unless their origin is configured", async () => {
    const closed = await appWith({});
    const origin = "https://app.example.org";
    const preflight = { origin, "access-control-request-method": "POST" };
    const refused = await closed.inject({ method: "OPTIONS", url: "/predict", headers: preflight });
    expect(refused.headers).not.toHaveProperty("access-control-allow-origin");
    expect(refused.statusCode).toBe(405);
    const app = await appWith({ corsOrigins: [origin] });
    const allowed = await app.inject({ method: "OPTIONS", url: "/predict", headers: preflight });
    expect(allowed.statusCode).toBe(204);
    expect(allowed.headers).toMatchObject({
      "access-control-allow-origin": origin,
      "access-control-allow-headers": expect.stringContaining("authorization"),
      vary: "Origin",
    });
    expect(await code(app, "POST", "/predict", { origin })).toBe("415 UNSUPPORTED_MEDIA_TYPE");
    const other = await app.inject({ url: "/health", headers: { origin: "https://evil.example" } });
    expect(other.headers).not.toHaveProperty("access-control-allow-origin");
    expect(other.headers.vary).toBe("Origin");
  });
});

describe("the rate limit", () => {
  it("holds for each client on routes that cost something, and says when to retry", async () => {
    let now = 0;
    const app = await appWith({ rateLimitPerSecond: 2 }, () => now);
    const ask = (remoteAddress: string, url = "/predict") => app.inject({ method: "POST", url, remoteAddress });
    for (let i = 0; i < 4; i++) expect((await ask("10.0.0.1")).statusCode).toBe(415);
    const refused = await ask("10.0.0.1");
    expect(refused.statusCode).toBe(429);
    expect(refused.json().code).toBe("RATE_LIMITED");
    expect(Number(refused.headers["retry-after"])).toBe(1);
    expect((await ask("10.0.0.2")).statusCode).toBe(415);
    expect((await app.inject({ url: "/health", remoteAddress: "10.0.0.1" })).statusCode).toBe(200);
    now += 500;
    expect((await ask("10.0.0.1")).statusCode).toBe(415);
    expect((await ask("10.0.0.1")).statusCode).toBe(429);
    const { body } = await app.inject("/metrics");
    expect(body).toMatch(/^api_rejections_total\{reason="RATE_LIMITED"\} 2$/m);
  });

  it("takes all addresses of an IPv6 subscriber for one client", async () => {
    const app = await appWith({ rateLimitPerSecond: 1 }, () => 0);
    const ask = async (remoteAddress: string) =>
      (await app.inject({ method: "POST", url: "/predict", remoteAddress })).statusCode;
    expect(await ask("2001:db8:1:2::1")).toBe(415);
    expect(await ask("2001:db8:1:2:ffff::2")).toBe(415);
    expect(await ask("2001:db8:1:2::3")).toBe(429);
    expect(await ask("2001:db8:1:3::1")).toBe(415);
  });

  it("believes X-Forwarded-For only from proxies that are named", async () => {
    const ask = (app: FastifyInstance, client: string) =>
      app.inject({
        method: "POST",
        url: "/predict",
        remoteAddress: "10.0.0.9",
        headers: { "x-forwarded-for": client },
      });
    const trusting = await appWith({ rateLimitPerSecond: 1, trustedProxies: ["10.0.0.0/24"] }, () => 0);
    for (let i = 0; i < 6; i++) expect((await ask(trusting, `192.0.2.${i}`)).statusCode).toBe(415);
    const wary = await appWith({ rateLimitPerSecond: 1 }, () => 0);
    const statuses = [];
    for (let i = 0; i < 6; i++) statuses.push((await ask(wary, `192.0.2.${i}`)).statusCode);
    expect(statuses).toEqual([415, 415, 429, 429, 429, 429]);
  });
});
