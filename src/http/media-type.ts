import type { FastifyReply, FastifyRequest } from "fastify";
import { PipelineError } from "../base/errors.ts";

/** What a route takes, where the content type of the request is none of it. */
export function mediaTypeError({ headers, routeOptions }: FastifyRequest, cause?: unknown): PipelineError {
  const { content } = (routeOptions.schema?.body ?? {}) as { readonly content?: object };
  const types = Object.keys(content ?? { "application/json": {} });
  // Without parameters: some clients put the file's name there.
  const found = (headers["content-type"] ?? "no content type").split(";", 1)[0]!.trim().slice(0, 100);
  const got = /^(?:[\w.+-]+\/[\w.+-]+|no content type)$/.test(found) ? found : JSON.stringify(found);
  return new PipelineError("UNSUPPORTED_MEDIA_TYPE", `expected ${types.join(" or ")}, got ${got}`, {
    remedy: types.includes("multipart/form-data")
      ? 'send the image as the form field "file", as curl -F file=@image.jpg does'
      : "send JSON with the header content-type: application/json",
    cause,
  });
}

/** An onRequest hook. @throws UNSUPPORTED_MEDIA_TYPE for a compressed body, before it is read */
export async function refuseContentEncoding({ headers }: FastifyRequest, reply: FastifyReply): Promise<void> {
  const encoding = headers["content-encoding"]?.trim().toLowerCase();
  if (encoding === undefined || encoding === "identity") return;
  reply.header("accept-encoding", "identity");
  throw new PipelineError(
    "UNSUPPORTED_MEDIA_TYPE",
    `the body has the content encoding ${JSON.stringify(encoding.slice(0, 100))}`,
    {
      remedy: "send it as it is, without Content-Encoding: image files are compressed already",
    },
  );
}

/** A form part with a file name or with the type of an image is a file; some clients leave the name out. */
export function isFilePart(
  _field: string | undefined,
  type: string | undefined,
  filename: string | undefined,
): boolean {
  return filename !== undefined || type === "application/octet-stream" || type?.startsWith("image/") === true;
}
