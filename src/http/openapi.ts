import swagger from "@fastify/swagger";
import swaggerUi from "@fastify/swagger-ui";
import type { FastifyInstance } from "fastify";
import { jsonSchemaTransform, jsonSchemaTransformObject } from "fastify-type-provider-zod";
import { contentSecurityPolicy } from "./security-headers.ts";

export interface ApiDescription {
  readonly title: string;
  /** In Markdown. */
  readonly description: string;
  readonly version: string;
  readonly tags: readonly { readonly name: string; readonly description: string }[];
}

/** The OpenAPI document from the routes' schemas, and /docs to browse it: all files are local. */
export async function installOpenApi(app: FastifyInstance, { tags, ...info }: ApiDescription): Promise<void> {
  await app.register(swagger, {
    openapi: {
      openapi: "3.1.0",
      info: { ...info, license: { name: "MIT", identifier: "MIT" } },
      tags: [...tags],
      components: {
        securitySchemes: {
          bearer: { type: "http", scheme: "bearer", description: "An API key" },
          header: { type: "apiKey", in: "header", name: "x-api-key", description: "An API key" },
        },
      },
    },
    transform: transformRoute,
    transformObject: (document) => withOptionalBodies(withoutUnusedSchemas(jsonSchemaTransformObject(document))),
  });
  await app.register(swaggerUi, {
    routePrefix: "/docs",
    theme: { title: "API documentation" },
    uiConfig: { layout: "BaseLayout", docExpansion: "list", tryItOutEnabled: true, defaultModelsExpandDepth: 0 },
    // Its scripts are files; its components set style attributes.
    staticCSP: contentSecurityPolicy.replace("style-src 'self'", "style-src 'self' 'unsafe-inline'"),
  });
}

type RouteTransform = typeof jsonSchemaTransform;
type RouteDocument = Parameters<RouteTransform>[0];

/** The provider's transformation, for bodies of several content types too; and which routes take a key. */
function transformRoute(document: RouteDocument): ReturnType<RouteTransform> {
  const { body, ...schema } = (document.schema ?? {}) as { readonly body?: unknown };
  const transformed = isByContent(body)
    ? withContents(document, schema, body.content)
    : jsonSchemaTransform({ ...document });
  const access = document.route.config?.access ?? "read";
  // Optional: whether a key is needed depends on the listener and on the configuration.
  const security = access === "read" ? undefined : [{}, { bearer: [] }, { header: [] }];
  if (security === undefined || document.schema?.hide === true) return transformed;
  return { ...transformed, schema: { ...transformed.schema, security } };
}

type Contents = Readonly<Record<string, { readonly schema: unknown }>>;

function isByContent(body: unknown): body is { readonly content: Contents } {
  return typeof body === "object" && body !== null && "content" in body;
}

function withContents(document: RouteDocument, schema: object, contents: Contents): ReturnType<RouteTransform> {
  const transform = (part: object) => jsonSchemaTransform({ ...document, schema: part } as RouteDocument);
  const content = Object.entries(contents).map(([type, media]) => {
    const { body } = transform({ body: media.schema }).schema as { readonly body: unknown };
    return [type, { schema: body }];
  });
  const result = transform(schema);
  return { ...result, schema: { ...result.schema, body: { content: Object.fromEntries(content) } } };
}

type OpenApiDocument = ReturnType<typeof jsonSchemaTransformObject>;

/** The provider lists each schema as input and as output: keeps those that something refers to. */
function withoutUnusedSchemas(document: OpenApiDocument): OpenApiDocument {
  const { components, ...rest } = document as { readonly components?: { readonly schemas?: object } };
  const schemas: Record<string, unknown> = { ...components?.schemas };
  const used = new Set<string>();
  const visit = (part: unknown): void => {
    for (const [, name] of JSON.stringify(part).matchAll(/"#\/components\/schemas\/([^"]+)"/g)) {
      if (used.has(name!)) continue;
      used.add(name!);
      visit(schemas[name!]);
    }
  };
  visit(rest);
  const kept = Object.fromEntries(Object.entries(schemas).filter(([name]) => used.has(name)));
  return { ...document, components: { ...components, schemas: kept } } as OpenApiDocument;
}

interface Operation {
  readonly requestBody?: {
    required?: boolean;
    readonly content: Readonly<Record<string, { readonly schema: object }>>;
  };
}

/** A body that may be null may be left out; the generator calls every body required. */
function withOptionalBodies(document: OpenApiDocument): OpenApiDocument {
  const copy = structuredClone(document);
  const paths =
    (copy as { readonly paths?: Readonly<Record<string, Readonly<Record<string, Operation>>>> }).paths ?? {};
  for (const { requestBody } of Object.values(paths).flatMap((item) => Object.values(item))) {
    if (requestBody === undefined) continue;
    requestBody.required = !Object.values(requestBody.content).some(
      ({ schema }) => "anyOf" in schema && JSON.stringify(schema.anyOf).endsWith('{"type":"null"}]'),
    );
  }
  return copy;
}
