import { Validator } from "@seriousme/openapi-schema-validator";
import type { FastifyInstance } from "fastify";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { BundleMetadata } from "../../src/inference/bundle-metadata.ts";
import { createLogger } from "../../src/observability/logger.ts";
import { createServiceMetrics } from "../../src/observability/metrics.ts";
import { createSystemMonitor } from "../../src/observability/system.ts";
import { createApp } from "../../src/serving/app.ts";
import { repositoryOf } from "./repository.ts";
import { tinyMetadata } from "./tiny-bundle.ts";

type Json = null | boolean | number | string | Json[] | { [key: string]: Json };
type JsonObject = { [key: string]: Json };

let app: FastifyInstance;
let document: JsonObject;

beforeAll(async () => {
  const system = createSystemMonitor();
  const metadata: BundleMetadata = { ...tinyMetadata(), modelSha256: "0".repeat(64) };
  app = await createApp({
    models: repositoryOf({ bundle: { directory: "/none", metadata } }),
    metrics: createServiceMetrics({ system }),
    system,
    logger: createLogger({ level: "silent" }),
    version: "1.2.3",
  });
  document = (await app.inject("/docs/json")).json();
});
afterAll(() => app.close());

/** Every object within a JSON value, with its path. */
function* objects(value: Json, path = "#"): Generator<[string, JsonObject]> {
  if (value === null || typeof value !== "object") return;
  if (!Array.isArray(value)) yield [path, value];
  for (const [key, part] of Object.entries(value)) yield* objects(part, `${path}/${key}`);
}

describe("the OpenAPI document", () => {
  it("has the parts that OpenAPI 3.1 requires", () => {
    expect(document).toMatchObject({ openapi: "3.1.0", info: { title: expect.any(String), version: "1.2.3" } });
    for (const [path, item] of Object.entries(document.paths as JsonObject)) {
      expect(path).toMatch(/^\//);
      for (const [method, operation] of Object.entries(item as JsonObject)) {
        expect(["get", "post", "put", "patch", "delete"]).toContain(method);
        const { responses, summary } = operation as JsonObject;
        expect(summary, `${method} ${path}`).toEqual(expect.any(String));
        expect(Object.keys(responses as JsonObject).length).toBeGreaterThan(0);
        for (const [status, response] of Object.entries(responses as JsonObject)) {
          expect(status).toMatch(/^[1-5]\d\d$/);
          expect(response).toMatchObject({ description: expect.any(String) });
        }
      }
    }
  });

  it("is valid by the specification's own schema", async () => {
    const result = await new Validator().validate(structuredClone(document));
    expect(result).toMatchObject({ valid: true });
  });

  it("says what every operation refuses, and which operations take a key", () => {
    for (const [path, item] of Object.entries(document.paths as Record<string, JsonObject>)) {
      for (const [method, operation] of Object.entries(item as Record<string, JsonObject>)) {
        const statuses = Object.keys(operation.responses as JsonObject);
        expect(
          statuses.some((status) => status.startsWith("4")),
          `${method} ${path}`,
        ).toBe(true);
        const isChange = method === "post" && path !== "/v2/repository/index";
        expect(operation.security !== undefined, `${method} ${path}`).toBe(isChange);
      }
    }
  });

  it("covers every public route", () => {
    expect(Object.keys(document.paths as JsonObject).sort()).toEqual([
      "/alerts/config",
      "/alerts/recipients",
      "/alerts/test",
      "/alerts/thresholds",
      "/classes",
      "/dashboard/events",
      "/feedback",
      "/health",
      "/health/live",
      "/health/ready",
      "/logs/stats",
      "/metrics",
      "/metrics-info",
      "/models",
      "/predict",
      "/predict/batch",
      "/v2",
      "/v2/health/live",
      "/v2/health/ready",
      "/v2/models/stats",
      ...["{model}", "{model}/versions/{version}"].flatMap((model) =>
        ["", "/infer", "/ready", "/stats"].map((end) => `/v2/models/${model}${end}`),
      ),
      "/v2/repository/index",
      "/v2/repository/models/{model}/load",
      "/v2/repository/models/{model}/unload",
    ]);
  });

  it("resolves every reference, and every component is used", () => {
    const schemas = Object.keys((document.components as JsonObject).schemas as JsonObject);
    const references = [...objects(document)].flatMap(([, { $ref }]) => (typeof $ref === "string" ? [$ref] : []));
    expect(new Set(references)).toEqual(new Set(schemas.map((name) => `#/components/schemas/${name}`)));
  });

  it("has only known types, and requires only properties that exist", () => {
    const known = ["object", "array", "string", "number", "integer", "boolean", "null"];
    for (const [path, { type, properties, required }] of objects(document)) {
      if (path.endsWith("/properties") || path.includes("/securitySchemes/") || path.includes("/example")) continue;
      for (const name of [type ?? []].flat()) expect(known, path).toContain(name);
      for (const name of Array.isArray(required) ? (required as string[]) : []) {
        expect(properties, path).toHaveProperty([name]);
      }
    }
  });

  it("describes the upload as a binary form field and every error by one schema", () => {
    const { post } = (document.paths as Record<string, JsonObject>)["/predict"] as Record<string, JsonObject>;
    const { requestBody, responses } = post as Record<string, Record<string, JsonObject>>;
    expect(requestBody).toMatchObject({ content: { "multipart/form-data": { schema: { $ref: expect.any(String) } } } });
    const body = ((document.components as JsonObject).schemas as JsonObject).PredictFormInput;
    expect(body).toMatchObject({ properties: { file: { type: "string", format: "binary" } }, required: ["file"] });
    for (const status of ["400", "413", "415", "503"]) {
      expect(responses![status]).toMatchObject({
        content: { "application/json": { schema: { $ref: "#/components/schemas/Error" } } },
      });
    }
  });
});
