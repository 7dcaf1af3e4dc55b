import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import type { FastifyInstance, FastifyPluginAsync, FastifyReply, FastifyRequest } from "fastify";
import { z } from "zod";
import { artifactRootUri } from "../artifacts.ts";
import { invalid } from "../validation.ts";
import { contentTypeOf } from "./content-type.ts";
import { openMultipartUploads, uploadTarget } from "./multipart.ts";
import { int, parse, requiredText, text } from "./request.ts";
import type { ApiContext } from "./route.ts";
import { filled, wireFile } from "./wire.ts";

export interface ArtifactRouteOptions extends ApiContext {
  /** Of one artifact. */
  readonly maxArtifactBytes: number;
}

const prefixes = ["/api/2.0", "/ajax-api/2.0"];

type Wildcard = { Params: { "*": string } };

/** The mlflow-artifacts proxy, and the downloads that the page uses. */
export function artifactRoutes(options: ArtifactRouteOptions): FastifyPluginAsync {
  return async (app) => {
    await app.register(proxyRoutes(options));
    await app.register(uploadRoutes(options));
    downloadRoutes(app, options);
  };
}

function proxyRoutes({ artifacts, maxArtifactBytes }: ArtifactRouteOptions): FastifyPluginAsync {
  return async (app) => {
    acceptStreams(app);
    for (const prefix of prefixes) {
      const url = `${prefix}/mlflow-artifacts/artifacts`;
      app.get<{ Querystring: { path?: string } }>(url, async (request) => {
        const path = (request.query.path ?? "").replace(/\/+$/, "");
        const files = await artifacts.list(artifactRootUri, path);
        // Names alone: the client puts them after the path that it asked for.
        return { files: filled(files.map((file) => wireFile({ ...file, path: file.path.split("/").at(-1) ?? "" }))) };
      });
      app.get<Wildcard>(`${url}/*`, async (request, reply) => {
        const path = request.params["*"];
        return send(reply, { file: await artifacts.locate(artifactRootUri, path), path });
      });
      app.put<Wildcard>(`${url}/*`, async (request, reply) => {
        await artifacts.writeStream(artifactRootUri, request.params["*"], {
          stream: bodyOf(request),
          maxBytes: maxArtifactBytes,
        });
        return reply.send();
      });
      app.delete<Wildcard>(`${url}/*`, async (request) => {
        await artifacts.remove(artifactRootUri, request.params["*"]);
        return {};
      });
    }
  };
}

const createSchema = z.object({ path: requiredText, num_parts: int });
const completeSchema = z.object({
  upload_id: requiredText,
  parts: z.array(z.object({ part_number: int, etag: text.default("") })),
});

function uploadRoutes({ artifacts, maxArtifactBytes }: ArtifactRouteOptions): FastifyPluginAsync {
  const uploads = openMultipartUploads({ artifacts, maxBytes: maxArtifactBytes });
  return async (app) => {
    for (const prefix of prefixes) {
      const url = `${prefix}/mlflow-artifacts/mpu`;
      app.post<Wildcard>(`${url}/create/*`, async (request) => {
        const { path, num_parts } = parse(createSchema, request.body);
        const uploadId = await uploads.create(uploadTarget(request.params["*"], path), num_parts);
        const base = `${request.protocol}://${request.host}${url}/part/${uploadId}`;
        const credentials = Array.from({ length: num_parts }, (_, index) => ({
          url: `${base}/${index + 1}`,
          part_number: index + 1,
          headers: {},
        }));
        return { upload_id: uploadId, credentials };
      });
      app.post<Wildcard>(`${url}/complete/*`, async (request) => {
        const { upload_id, parts } = parse(completeSchema, request.body);
        await uploads.complete(
          upload_id,
          parts.map(({ part_number, etag }) => ({ number: part_number, etag })),
        );
        return {};
      });
      app.post<Wildcard>(`${url}/abort/*`, async (request) => {
        await uploads.abort(parse(z.object({ upload_id: requiredText }), request.body).upload_id);
        return {};
      });
    }
    await app.register(async (parts) => {
      acceptStreams(parts);
      for (const prefix of prefixes)
        parts.put<{ Params: { id: string; part: string } }>(
          `${prefix}/mlflow-artifacts/mpu/part/:id/:part`,
          // The id is a secret of 128 bits that only the caller of "create" has: clients send these without a login.
          { config: { trackingAccess: "open" } },
          async (request, reply) => {
            const { id, part } = request.params;
            const etag = await uploads.writePart(id, { number: Number(part), stream: bodyOf(request) });
            return reply.header("etag", etag).send();
          },
        );
    });
  };
}

function downloadRoutes(app: FastifyInstance, { store, artifacts }: ApiContext): void {
  const runFile = z.object({ run_id: text.optional(), run_uuid: text.optional(), path: requiredText });
  app.get("/get-artifact", async (request, reply) => {
    const { run_id, run_uuid, path } = parse(runFile, request.query);
    const { info } = await store.getRun(run_id ?? run_uuid ?? "");
    return send(reply, { file: await artifacts.locate(info.artifactUri, path), path });
  });
  const versionFile = z.object({ name: requiredText, version: requiredText, path: requiredText });
  app.get("/model-versions/get-artifact", async (request, reply) => {
    const { name, version, path } = parse(versionFile, request.query);
    const uri = await store.getDownloadUri(name, version);
    return send(reply, { file: await artifacts.locate(uri, path), path });
  });
  const modelFile = z.object({ model_id: requiredText, artifact_file_path: requiredText });
  for (const prefix of prefixes)
    app.get<{ Params: { model_id: string } }>(
      `${prefix}/mlflow/logged-models/:model_id/artifacts/files`,
      async (request, reply) => {
        const input = { ...(request.query as object), ...request.params };
        const { model_id, artifact_file_path: path } = parse(modelFile, input);
        const { artifactUri } = await store.getLoggedModel(model_id);
        return send(reply, { file: await artifacts.locate(artifactUri, path), path });
      },
    );
}

/** Every body is a stream, JSON files too. */
function acceptStreams(app: FastifyInstance): void {
  app.removeAllContentTypeParsers();
  app.addContentTypeParser("*", (_request, payload, done) => done(null, payload));
}

function bodyOf(request: FastifyRequest): AsyncIterable<Uint8Array> {
  const body = request.body as AsyncIterable<Uint8Array> | null | undefined;
  return body ?? request.raw;
}

/** As an attachment, so that no browser runs what a run has written as a page of ours. */
async function send(
  reply: FastifyReply,
  { file, path }: { readonly file: string; readonly path: string },
): Promise<FastifyReply> {
  const info = await stat(file);
  if (!info.isFile()) throw invalid(`Artifact path refers to a directory, not a file: '${path}'`, "name a file");
  const name = path.split("/").at(-1) ?? "artifact";
  const ascii = name.replaceAll(/[^\x20-\x7e]|["\\]/g, "_");
  return reply
    .type(contentTypeOf(name))
    .header("content-length", info.size)
    .header("content-security-policy", "sandbox; default-src 'none'")
    .header("content-disposition", `attachment; filename="${ascii}"; filename*=UTF-8''${encodeURIComponent(name)}`)
    .send(createReadStream(file));
}
