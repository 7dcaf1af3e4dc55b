import multipart from "@fastify/multipart";
import fastify, { type FastifyInstance, LogController } from "fastify";
import { serializerCompiler, validatorCompiler } from "fastify-type-provider-zod";
import { installGuard } from "../http/access/guard.ts";
import { loopbackPolicy } from "../http/access/policy.ts";
import { brokenRequestHandler } from "../http/broken-request.ts";
import { apiErrorOf, installErrorHandling, refuseUnknownRoutes, sendError } from "../http/errors/api-error.ts";
import { installLingeringClose } from "../http/lingering-close.ts";
import { isFilePart, refuseContentEncoding } from "../http/media-type.ts";
import { installOpenApi } from "../http/openapi.ts";
import { requestIdOf } from "../http/request-id.ts";
import { installSecurityHeaders, setSecurityHeaders } from "../http/security-headers.ts";
import { installUploadPace } from "../http/upload-pace.ts";
import { metricTable } from "../observability/metric-table.ts";
import { Admission } from "./admission.ts";
import { apiDescription } from "./api-description.ts";
import { dashboardRoutes } from "./dashboard/routes.ts";
import { type AppDependencies, defaultServingLimits, type RouteContext } from "./dependencies.ts";
import { FeedbackLog } from "./feedback-log.ts";
import { parseJsonBodies } from "./json/json-bodies.ts";
import { PredictionService } from "./prediction-service.ts";
import { feedbackRoute } from "./routes/feedback.ts";
import { healthRoutes } from "./routes/health.ts";
import { modelRoutes } from "./routes/models.ts";
import { alertRoutes, metricsRoutes } from "./routes/monitoring.ts";
import { pageRoutes } from "./routes/page.ts";
import { predictRoutes } from "./routes/predict.ts";
import { v2InferenceRoutes } from "./v2/inference-routes.ts";
import { v2ServerRoutes } from "./v2/server-routes.ts";

/** Refusals that say something about load or access, not about the request's content: counted by their code. */
const rejections = new Set<string>(metricTable.api_rejections_total.initialValues);

/** The HTTP application, not listening yet. */
export async function createApp(dependencies: AppDependencies): Promise<FastifyInstance> {
  const context: RouteContext = {
    now: () => performance.now(),
    access: loopbackPolicy,
    links: {},
    accepting: () => true,
    ...dependencies,
    limits: { ...defaultServingLimits, ...dependencies.limits },
  };
  const { access, limits, metrics, logger } = context;
  const app = fastify({
    loggerInstance: logger.child({}, { serializers: { req: requestFields, busboyOptions: parserFields } }),
    // One line per answer below, instead of the framework's two.
    logController: new LogController({ disableRequestLogging: true }),
    requestIdHeader: false,
    genReqId: requestIdOf,
    trustProxy: access.trustedProxies.length === 0 ? false : [...access.trustedProxies],
    // Multipart framing comes on top of the file.
    bodyLimit: limits.maxUploadBytes + 64 * 1024,
    // Headers have a time limit, bodies a pace.
    requestTimeout: 0,
    connectionTimeout: limits.connectionTimeoutMs,
    // Longer than proxies keep idle connections (60 s is usual): one that is closed as it is used again fails a request.
    keepAliveTimeout: 75_000,
    forceCloseConnections: "idle",
    routerOptions: { maxParamLength: 200, ignoreTrailingSlash: true },
    http: { headersTimeout: limits.headersTimeoutMs, connectionsCheckingInterval: 2000 },
    // Addresses that cannot be decoded never reach a route.
    frameworkErrors(error, request, reply) {
      setSecurityHeaders(request, reply);
      sendError(error, request, reply);
    },
    clientErrorHandler: brokenRequestHandler(apiErrorOf),
  }) as unknown as FastifyInstance;
  app.server.maxConnections = limits.maxConnections;
  app.setValidatorCompiler(validatorCompiler);
  app.setSerializerCompiler(serializerCompiler);
  installErrorHandling(app, (code) => {
    if (rejections.has(code)) metrics.observe({ type: "rejection", reason: code });
  });
  installSecurityHeaders(app);
  installLingeringClose(app);
  installGuard(app, access, context.now);
  app.addHook("onRequest", refuseContentEncoding);
  installUploadPace(app, limits);
  const inProgress = new WeakSet<object>();
  app.addHook("onRequest", async (request) => {
    inProgress.add(request);
    metrics.requestStarted();
  });
  refuseUnknownRoutes(app);
  app.addHook("onResponse", async (request, reply) => {
    // The pattern, never the URL: a client must not be able to create series.
    const endpoint = request.routeOptions.url ?? "unmatched";
    const { method } = request;
    const status = reply.statusCode;
    if (inProgress.delete(request)) metrics.requestEnded();
    if (request.routeOptions.config.isStream !== true) {
      metrics.observeRequest({ method, endpoint, status, seconds: reply.elapsedTime / 1000, requestId: request.id });
    }
    request.log.info(
      { channel: "access", req: request, status, durationMs: Math.round(reply.elapsedTime * 1000) / 1000 },
      "request answered",
    );
  });

  parseJsonBodies(app);
  // No route takes plain text.
  app.removeContentTypeParser("text/plain");
  // Bytes of an image, or JSON with binary tensor data behind it.
  for (const type of ["application/octet-stream", /^image\//]) {
    app.addContentTypeParser(type, { parseAs: "buffer" }, (_request, body, done) => done(null, body));
  }

  const admission = new Admission(limits);
  const feedback = new FeedbackLog();
  const service = new PredictionService(context, feedback);
  const { accepting } = context;
  await app.register(multipart, { throwFileSizeLimit: true, isPartAFile: isFilePart });
  await installOpenApi(app, { ...apiDescription, version: context.version });
  await app.register(pageRoutes());
  await app.register(healthRoutes(context, { admission, feedback, accepting }));
  await app.register(predictRoutes(context, { service, admission }));
  await app.register(feedbackRoute(context, feedback));
  await app.register(modelRoutes(context));
  await app.register(metricsRoutes(context));
  await app.register(alertRoutes(context));
  await app.register(dashboardRoutes(context));
  await app.register(v2InferenceRoutes(context, { service, admission }));
  await app.register(v2ServerRoutes(context, { accepting }));
  await app.ready();
  return app;
}

/**
 * What a line says of its request: no query, and of an address that no route has the path only where nothing is sent
 * (`curl -T` appends the file's name to the address). File names of those who upload are nobody's business.
 */
function requestFields({ method, url, ip, routeOptions }: LoggedRequest) {
  const isKnown = routeOptions?.url !== undefined || method === "GET" || method === "HEAD";
  return { method, url: isKnown ? url.split("?", 1)[0]!.slice(0, 500) : "[no route]", remote: ip };
}

interface LoggedRequest {
  readonly method: string;
  readonly url: string;
  readonly ip?: string;
  readonly routeOptions?: { readonly url?: string | undefined };
}

/** At the level trace the form parser would tell all headers of the request. */
function parserFields({ limits }: { readonly limits?: unknown }) {
  return { limits };
}
