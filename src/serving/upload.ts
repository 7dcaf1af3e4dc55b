import type { Readable } from "node:stream";
import { setImmediate } from "node:timers/promises";
import type { FastifyRequest } from "fastify";
import { isPipelineError, PipelineError } from "../base/errors.ts";
import { mediaTypeError } from "../http/media-type.ts";

export interface UploadLimits {
  readonly maxBytes: number;
  readonly maxFiles: number;
}

/** Of a body with several images: as many bytes as two of the largest have in base64. */
export function batchBodyLimit({ maxUploadBytes }: { readonly maxUploadBytes: number }): number {
  return Math.ceil((2 * maxUploadBytes * 4) / 3) + 64 * 1024;
}

/**
 * The bytes of the images of a request: multipart form files in the field "file", a raw image body, or what
 * `fromJson` finds in a JSON body.
 * @throws UNSUPPORTED_MEDIA_TYPE, REQUEST_INVALID or IMAGE_TOO_LARGE with what to change
 */
export async function readImages(
  request: FastifyRequest,
  limits: UploadLimits,
  fromJson: (body: unknown) => readonly string[],
): Promise<readonly Uint8Array[]> {
  if (request.isMultipart()) return readForm(request, "file", limits);
  if (Buffer.isBuffer(request.body)) {
    if (request.body.length > limits.maxBytes) throw tooLarge(limits.maxBytes);
    return [request.body];
  }
  if (request.headers["content-type"]?.toLowerCase().startsWith("application/json")) {
    return decodeBase64(fromJson(request.body), limits.maxBytes);
  }
  throw mediaTypeError(request);
}

async function readForm(
  request: FastifyRequest,
  field: string,
  { maxBytes, maxFiles }: UploadLimits,
): Promise<readonly Uint8Array[]> {
  const images: Uint8Array[] = [];
  let other: string | undefined;
  let isText = false;
  let left = request.routeOptions.bodyLimit!;
  const one = maxFiles === 1;
  const tooMany = (cause?: unknown) =>
    new PipelineError("REQUEST_INVALID", `the request has more than ${one ? "one file" : `${maxFiles} files`}`, {
      remedy: one ? "send one image per request, or several to /predict/batch" : "send them in several requests",
      cause,
    });
  try {
    // One more than allowed: enough to see that there are too many.
    const limits = { fileSize: maxBytes, files: maxFiles + 1, fields: 20, parts: maxFiles + 21, fieldSize: 4096 };
    for await (const part of request.parts({ limits })) {
      if (part.type === "file" && part.fieldname === field) {
        const image = await part.toBuffer();
        left -= image.length;
        if (left < 0) throw tooManyBytes(request.routeOptions.bodyLimit!);
        images.push(image);
        if (images.length > maxFiles) throw tooMany();
      } else {
        other ??= part.type === "file" ? `a file in ${quoted(part.fieldname)}` : `text in ${quoted(part.fieldname)}`;
        if (part.type === "file") await drain(part.file);
        else isText ||= part.fieldname === field;
      }
    }
  } catch (error) {
    if ((error as { code?: string }).code === "FST_FILES_LIMIT") throw tooMany(error);
    throw asUploadError(error, field, maxBytes);
  }
  if (images.length === 0) {
    const found = other === undefined ? "" : ` but ${other}`;
    throw new PipelineError("REQUEST_INVALID", `the request has no file in a field named "${field}"${found}`, {
      remedy: isText
        ? `images are not sent as text: attach the file, as curl -F ${field}=@image.jpg does, or send JSON with base64`
        : `send the image as curl -F ${field}=@image.jpg does`,
    });
  }
  return images;
}

/** Characters of base64 that are decoded in one turn of the event loop: a fraction of a millisecond. */
const turnLength = 1 << 18;
const letters = /^[A-Za-z0-9+/]*$/;

/** Strict: Buffer.from would skip what is no base64. Long texts are decoded in several turns of the event loop. */
export async function decodeBase64(texts: readonly string[], maxBytes: number): Promise<readonly Uint8Array[]> {
  const files: Uint8Array[] = [];
  for (const [index, text] of texts.entries()) {
    const comma = text.startsWith("data:") ? text.slice(0, 200).indexOf(";base64,") : -1;
    const data = comma === -1 ? text : text.slice(comma + ";base64,".length);
    if (data.length > Math.ceil(maxBytes / 3) * 4) throw tooLarge(maxBytes);
    const bytes = await bytesOf(data);
    if (bytes === undefined) {
      throw new PipelineError("REQUEST_INVALID", `image ${index} is no base64`, {
        remedy: "encode the bytes of the image file in base64, without line breaks",
      });
    }
    if (bytes.length > maxBytes) throw tooLarge(maxBytes);
    files.push(bytes);
  }
  return files;
}

/** @returns undefined for what is no base64 */
async function bytesOf(text: string): Promise<Uint8Array | undefined> {
  const padding = text.endsWith("==") ? 2 : Number(text.endsWith("="));
  if (padding === 0 ? text.length % 4 === 1 : text.length % 4 !== 0) return undefined;
  const length = text.length - padding;
  const bytes = Buffer.allocUnsafe(Math.floor((length * 3) / 4));
  let at = 0;
  for (let start = 0; start < length; start += turnLength) {
    if (start > 0) await setImmediate();
    const part = text.slice(start, Math.min(length, start + turnLength));
    if (!letters.test(part)) return undefined;
    at += bytes.write(part, at, "base64");
  }
  return bytes;
}

/** Reads a file part to its end without keeping it, so that the next part can come. */
async function drain(stream: Readable): Promise<void> {
  stream.resume();
  await new Promise<void>((resolve, reject) => {
    stream.once("end", resolve).once("close", resolve).once("error", reject);
  });
}

function tooManyBytes(limit: number): PipelineError {
  return new PipelineError("REQUEST_TOO_LARGE", `the images of the request have more than ${limit} bytes together`, {
    remedy: "send them in several requests",
  });
}

function tooLarge(maxBytes: number, cause?: unknown): PipelineError {
  return new PipelineError("IMAGE_TOO_LARGE", `the uploaded file has more than ${maxBytes} bytes`, {
    remedy: "send a smaller or more compressed image",
    cause,
  });
}

function asUploadError(error: unknown, field: string, maxBytes: number): PipelineError {
  if (isPipelineError(error)) return error;
  const code = (error as { code?: string }).code;
  if (code === "FST_REQ_FILE_TOO_LARGE") return tooLarge(maxBytes, error);
  if (code === "FST_PARTS_LIMIT" || code === "FST_FIELDS_LIMIT") {
    return new PipelineError("REQUEST_INVALID", "the request has too many form fields", {
      remedy: `send the field "${field}" only`,
      cause: error,
    });
  }
  // Whatever else the parser says is about the bytes that the client sent.
  const reason = error instanceof Error ? error.message : String(error);
  return new PipelineError("REQUEST_INVALID", `the multipart body is malformed: ${reason.slice(0, 200)}`, {
    remedy: `send the image as curl -F ${field}=@image.jpg does`,
    cause: error,
  });
}

function quoted(name: string): string {
  return JSON.stringify(name.slice(0, 60));
}
