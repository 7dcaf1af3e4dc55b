import swagger from "@fastify/swagger";
import swaggerUi from "@fastify/swagger-ui";
import type { FastifyInstance } from "fastify";
import { jsonSchemaTransform, jsonSchemaTransformObject } from "fastify-type-provider-zod";

/** The OpenAPI document from the routes' schemas, and /docs to browse it: all files are local. */
export async function installOpenApi(app: FastifyInstance, version: string): Promise<void> {
  await app.register(swagger, {
    openapi: {
      openapi: "3.1.0",
      info: {
        title: "CIFAR image classification",
        description:
          "Classifies images with a trained model. Errors have one shape: code, message, request_id, detail.",
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
    transformObject: jsonSchemaTransformObject,
  });
  await app.register(swaggerUi, {
    routePrefix: "/docs",
    uiConfig: { docExpansion: "list", deepLinking: true, tryItOutEnabled: true },
  });
}
