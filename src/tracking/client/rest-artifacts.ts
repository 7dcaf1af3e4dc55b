import { openAsBlob } from "node:fs";
import { lstat, readdir } from "node:fs/promises";
import { join } from "node:path";
import { Readable } from "node:stream";
import { z } from "zod";
import { isPipelineError } from "../../base/errors.ts";
import type { ArtifactAccess } from "../artifacts.ts";
import { invalid } from "../validation.ts";
import type { HttpBody, HttpClient } from "./http.ts";
import { fileAnswer } from "./wire.ts";

/** Artifacts through the proxy of a tracking server. */
export function createRestArtifacts(http: HttpClient): ArtifactAccess {
  const put = async (artifactUri: string, path: string, data: HttpBody): Promise<void> => {
    const body = { data, type: "application/octet-stream" };
    await http.send({ method: "PUT", path: proxyPath(artifactUri, path), body });
  };
  const copyIn = async (artifactUri: string, path: string, source: string): Promise<void> => {
    const info = await lstat(source);
    if (info.isDirectory()) {
      for (const name of (await readdir(source)).sort())
        await copyIn(artifactUri, `${path}/${name}`, join(source, name));
      return;
    }
    if (!info.isFile()) throw invalid(`${source} is neither a file nor a folder`, "give a regular file or a folder");
    // A blob of a file is read when it is sent, and again when it is sent again.
    await put(artifactUri, path, await openAsBlob(source));
  };
  const readStream = async (artifactUri: string, path: string): Promise<Readable> => {
    const response = await http.send({ method: "GET", path: proxyPath(artifactUri, path) });
    return response.body === null ? Readable.from([]) : Readable.fromWeb(response.body as never);
  };
  return {
    write: (artifactUri, path, data) => put(artifactUri, path, data as HttpBody),
    writeStream: (artifactUri, path, { stream }) =>
      put(artifactUri, path, Readable.toWeb(Readable.from(stream)) as HttpBody),
    copyIn,
    readStream,
    read: async (artifactUri, path) => {
      const response = await http.send({ method: "GET", path: proxyPath(artifactUri, path) });
      return new Uint8Array(await response.arrayBuffer());
    },
    list: async (artifactUri, path = "") => {
      const folder = [relativeOf(artifactUri), path].filter((part) => part !== "").join("/");
      try {
        const answer = await http.call({
          method: "GET",
          path: "/api/2.0/mlflow-artifacts/artifacts",
          query: { path: folder },
        });
        const { files } = z.object({ files: z.array(fileAnswer).default([]) }).parse(answer);
        return files
          .map((file) => ({ ...file, path: path === "" ? file.path : `${path}/${file.path}` }))
          .sort((a, b) => (a.path < b.path ? -1 : 1));
      } catch (error) {
        if (isPipelineError(error, "TRACKING_NOT_FOUND")) return [];
        throw error;
      }
    },
  };
}

function proxyPath(artifactUri: string, path: string): string {
  const whole = [relativeOf(artifactUri), path].filter((part) => part !== "").join("/");
  return `/api/2.0/mlflow-artifacts/artifacts/${whole.split("/").map(encodeURIComponent).join("/")}`;
}

function relativeOf(artifactUri: string): string {
  const scheme = "mlflow-artifacts:/";
  if (!artifactUri.startsWith(scheme))
    throw invalid(
      `the artifacts lie at ${artifactUri}, which the tracking server does not hand on`,
      "start it with --serve-artifacts and a new experiment, or set mlflow.log_model=false",
      { artifactUri },
    );
  return artifactUri
    .slice(scheme.length)
    .replace(/^\/[^/]*/, "")
    .replace(/^\/+/, "");
}
