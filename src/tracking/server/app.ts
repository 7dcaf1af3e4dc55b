import fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest, LogController } from "fastify";
import { PipelineError } from "../../base/errors.ts";
import { type Credentials, checkCredentials, checkOrigin } from "../../http/access/credentials.ts";
import { brokenRequestHandler } from "../../http/broken-request.ts";
import { toMlflowError } from "../../http/errors/mlflow-error.ts";
import { installLingeringClose } from "../../http/lingering-close.ts";
import { requestIdOf } from "../../http/request-id.ts";
import { installSecurityHeaders, setSecurityHeaders } from "../../http/security-headers.ts";
import { artifactRoutes } from "./artifact-routes.ts";
import type { ServerLog } from "./log.ts";
import { pageRoutes } from "./page-routes.ts";
import type { ApiContext, ApiRoute } from "./route.ts";
import { experimentRoutes } from "./routes/experiments.ts";
import { loggedModelRoutes } from "./routes/logged-models.ts";
import { pageDataRoutes } from "./routes/page-data.ts";
import { registryRoutes } from "./routes/registry.ts";
import { runRoutes } from "./routes/runs.ts";

declare module "fastify" {
  interface FastifyContextConfig {
    /** Open to all, or to those who have the credentials. */
    readonly trackingAccess?: "open" | "closed";
  }
}

export interface TrackingAppOptions extends ApiContext {
  readonly credentials?: Credentials;
  /** Whether the server is reachable from this machine only. */
  readonly loopback?: "yes" | "no";
  /** Of one JSON request. Default 32 MiB. */
  readonly maxRequestBytes?: number;
  /** Of one artifact. Default 16 GiB. */
  readonly maxArtifactBytes?: number;
  readonly log?: ServerLog;
}

/** The version of MLflow whose API this is: clients choose by it what they may ask for. */
export const mlflowVersion = "3.17.2";

const apiRoutes: readonly ApiRoute[] = [
  ...experimentRoutes,
  ...runRoutes,
  ...loggedModelRoutes,
  ...registryRoutes,
  ...pageDataRoutes,
];

/** MLflow's REST API, the artifact proxy and the page, not listening yet. */
export async function createTrackingApp(options: TrackingAppOptions): Promise<FastifyInstance> {
  const { store, artifacts, credentials = {}, loopback = "yes", log } = options;
  const { maxRequestBytes = 32 * 1024 * 1024, maxArtifactBytes = 16 * 1024 ** 3 } = options;
  const app = fastify({
    logger: false,
    logController: new LogController({ disableRequestLogging: true }),
    bodyLimit: maxRequestBytes,
    keepAliveTimeout: 65_000,
    forceCloseConnections: "idle",
    routerOptions: { maxParamLength: 4000 },
    http: { headersTimeout: 10_000 },
    requestIdHeader: false,
    genReqId: requestIdOf,
    frameworkErrors: (error, request, reply) => {
      setSecurityHeaders(request, reply);
      void sendError(error, request, reply);
    },
    clientErrorHandler: brokenRequestHandler((code, message) => toMlflowError(new PipelineError(code, message)).body),
  }) as FastifyInstance;

  const sendError = (error: unknown, request: FastifyRequest, reply: FastifyReply): FastifyReply => {
    const { status, body } = toMlflowError(error);
    // The pattern, not the address: that may hold the names of files.
    const route = request.routeOptions.url ?? "[no route]";
    if (status >= 500) log?.error({ err: error, reqId: request.id, route }, "request failed");
    if (status === 401) reply.header("www-authenticate", 'Basic realm="tracking", charset="UTF-8"');
    return reply.code(status).type("application/json").send(JSON.stringify(body));
  };
  app.setErrorHandler((error, request, reply) => sendError(error, request, reply));
  app.setNotFoundHandler((request, reply) => {
    const message = `Route not found: ${request.method} ${request.url.slice(0, 200)}`;
    return sendError(new PipelineError("ROUTE_NOT_FOUND", message), request, reply);
  });
  installSecurityHeaders(app);
  installLingeringClose(app);
  app.addHook("onRequest", async (request) => {
    checkOrigin(request.headers, { method: request.method, loopback });
    if (request.routeOptions.config.trackingAccess !== "open") checkCredentials(request.headers, credentials);
  });
  readBodiesLeniently(app);

  const open = { config: { trackingAccess: "open" } } as const;
  app.get("/health", open, async (_request, reply) => reply.type("text/plain").send("OK"));
  app.get("/version", open, async (_request, reply) => reply.type("text/plain").send(mlflowVersion));
  for (const prefix of ["/api/3.0", "/ajax-api/3.0"])
    app.get(`${prefix}/mlflow/server-info`, open, async () => ({
      store_type: "SqlStore",
      workspaces_enabled: false,
      trace_archival_enabled: false,
      multipart_uploads_enabled: true,
      multipart_downloads_enabled: false,
      features_enabled: { gateway: false },
    }));

  const context = { store, artifacts };
  for (const { method, path, handle } of apiRoutes)
    for (const prefix of ["/api/2.0/mlflow", "/ajax-api/2.0/mlflow"])
      app.route({
        method,
        url: `${prefix}/${path}`,
        handler: async (request) =>
          handle(
            { ...(request.query as object), ...(request.body as object | undefined), ...(request.params as object) },
            context,
          ),
      });
  await app.register(artifactRoutes({ ...context, maxArtifactBytes }));
  await app.register(pageRoutes());
  await app.ready();
  return app;
}

/** An empty body is an empty message, and old clients put the JSON into a JSON string. */
function readBodiesLeniently(app: FastifyInstance): void {
  app.removeAllContentTypeParsers();
  app.addContentTypeParser(
    "application/json",
    { parseAs: "string" },
    async (_request: FastifyRequest, body: string) => {
      if (body.trim() === "") return {};
      try {
        const value: unknown = JSON.parse(body);
        return typeof value === "string" ? (JSON.parse(value) as unknown) : value;
      } catch (cause) {
        throw new PipelineError("TRACKING_INVALID", "Bad Request. The body is not valid JSON", { cause });
      }
    },
  );
  app.addContentTypeParser("*", { parseAs: "string" }, async (request: FastifyRequest, body: string) => {
    if (body === "") return {};
    const type = request.headers["content-type"] ?? "";
    throw new PipelineError("TRACKING_INVALID", `Bad Request. Content-Type must be application/json, got '${type}'`);
  });
}
