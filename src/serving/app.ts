import multipart from "@fastify/multipart";
import fastify, { type FastifyInstance, LogController } from "fastify";
import { serializerCompiler, validatorCompiler } from "fastify-type-provider-zod";
import { apiErrorOf, installErrorHandling, sendError } from "./api-error.ts";
import { type AppDependencies, defaultServingLimits, type RouteContext } from "./dependencies.ts";
import { installOpenApi } from "./openapi.ts";
import { requestIdOf } from "./request-id.ts";
import { healthRoute } from "./routes/health.ts";
import { metricsRoute } from "./routes/metrics.ts";
import { modelRoutes } from "./routes/models.ts";
import { pageRoutes } from "./routes/page.ts";
import { predictRoute } from "./routes/predict.ts";
import { installSecurityHeaders, securityHeaders, setSecurityHeaders } from "./security-headers.ts";

/** The HTTP application, not listening yet. */
export async function createApp(dependencies: AppDependencies): Promise<FastifyInstance> {
  const context: RouteContext = {
    now: () => performance.now(),
    ...dependencies,
    limits: { ...defaultServingLimits, ...dependencies.limits },
  };
  const { limits, metrics, logger } = context;
  const app = fastify({
    loggerInstance: logger.child({}, { serializers: { req: requestFields } }),
    // One line per answer below, instead of the framework's two.
    logController: new LogController({ disableRequestLogging: true }),
    requestIdHeader: false,
    genReqId: requestIdOf,
    // Multipart framing comes on top of the file.
    bodyLimit: limits.maxUploadBytes + 64 * 1024,
    requestTimeout: limits.requestTimeoutMs,
    connectionTimeout: limits.connectionTimeoutMs,
    keepAliveTimeout: 10_000,
    forceCloseConnections: "idle",
    routerOptions: { maxParamLength: 200 },
    http: { headersTimeout: Math.min(10_000, limits.requestTimeoutMs), connectionsCheckingInterval: 2000 },
    // Addresses that cannot be decoded never reach a route.
    frameworkErrors(error, request, reply) {
      setSecurityHeaders(request, reply);
      sendError(error, request, reply);
    },
    clientErrorHandler(error, socket) {
      const message = `the HTTP request is malformed: ${error.code}`;
      const body = apiErrorOf("REQUEST_INVALID", message, requestIdOf({ headers: {} }));
      const text = JSON.stringify(body);
      const status = error.code === "ERR_HTTP_REQUEST_TIMEOUT" ? "408 Request Timeout" : "400 Bad Request";
      if (socket.writable && error.code !== "ECONNRESET") {
        socket.end(
          `HTTP/1.1 ${status}\r\nContent-Type: application/json; charset=utf-8\r\nConnection: close\r\n` +
            `X-Content-Type-Options: ${securityHeaders["x-content-type-options"]}\r\n` +
            `Content-Length: ${Buffer.byteLength(text)}\r\n\r\n${text}`,
        );
      } else {
        socket.destroy();
      }
    },
  }) as unknown as FastifyInstance;
  app.server.maxConnections = limits.maxConnections;
  app.setValidatorCompiler(validatorCompiler);
  app.setSerializerCompiler(serializerCompiler);
  installErrorHandling(app);
  installSecurityHeaders(app);
  app.addHook("onResponse", async (request, reply) => {
    // The pattern, never the URL: a client must not be able to create series.
    const endpoint = request.routeOptions.url ?? "unmatched";
    const { method } = request;
    const status = reply.statusCode;
    metrics.observeRequest({ method, endpoint, status, seconds: reply.elapsedTime / 1000 });
    request.log.info(
      { req: request, status, durationMs: Math.round(reply.elapsedTime * 1000) / 1000 },
      "request answered",
    );
  });

  await app.register(multipart, { throwFileSizeLimit: true });
  await installOpenApi(app, context.version);
  await app.register(pageRoutes());
  await app.register(healthRoute(context));
  await app.register(predictRoute(context));
  await app.register(modelRoutes(context));
  await app.register(metricsRoute(context));
  await app.ready();
  return app;
}

function requestFields(request: { method: string; url: string; ip?: string }) {
  return { method: request.method, url: request.url.slice(0, 500), remote: request.ip };
}
