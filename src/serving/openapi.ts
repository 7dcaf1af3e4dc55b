import swagger from "@fastify/swagger";
import swaggerUi from "@fastify/swagger-ui";
import type { FastifyInstance } from "fastify";
import { jsonSchemaTransform, jsonSchemaTransformObject } from "fastify-type-provider-zod";
import { contentSecurityPolicy } from "./security-headers.ts";

/** The OpenAPI document from the routes' schemas, and /docs to browse it: all files are local. */
export async function installOpenApi(app: FastifyInstance, version: string): Promise<void> {
  await app.register(swagger, {
    openapi: {
      openapi: "3.1.0",
      info: {
        title: "CIFAR image classification",
        description:
          "Classifies images with a trained model ([upload page](/)). Errors have one shape: code, message, request_id, detail.",
        version,
        license: { name: "MIT", identifier: "MIT" },
      },
      tags: [
        { name: "inference", description: "Predictions" },
        { name: "models", description: "What is served" },
        { name: "service", description: "Health and metrics" },
      ],
    },
    transform: jsonSchemaTransform,
    transformObject: (document) => withoutUnusedSchemas(jsonSchemaTransformObject(document)),
  });
  await app.register(swaggerUi, {
    routePrefix: "/docs",
    theme: { title: "API documentation" },
    uiConfig: { layout: "BaseLayout", docExpansion: "list", tryItOutEnabled: true, defaultModelsExpandDepth: 0 },
    // Its scripts are files; its components set style attributes.
    staticCSP: contentSecurityPolicy.replace("style-src 'self'", "style-src 'self' 'unsafe-inline'"),
  });
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
