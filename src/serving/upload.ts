import type { Readable } from "node:stream";
import type { FastifyRequest } from "fastify";
import { isPipelineError, PipelineError } from "../base/errors.ts";

/**
 * The bytes of the one file of a multipart request.
 * @throws UNSUPPORTED_MEDIA_TYPE, REQUEST_INVALID or IMAGE_TOO_LARGE with what to change
 */
export async function readUpload(request: FastifyRequest, field: string, maxBytes: number): Promise<Buffer> {
  if (!request.isMultipart()) {
    throw new PipelineError(
      "UNSUPPORTED_MEDIA_TYPE",
      `expected multipart/form-data, got ${(request.headers["content-type"] ?? "no content type").slice(0, 100)}`,
      { remedy: `send the image as the form field "${field}", as curl -F ${field}=@image.jpg does` },
    );
  }
  let bytes: Buffer | undefined;
  let other: string | undefined;
  let files = 0;
  try {
    // Two files: enough to see that there is more than one.
    for await (const part of request.parts({
      limits: { fileSize: maxBytes, files: 2, fields: 20, parts: 22, fieldSize: 4096 },
    })) {
      if (part.type === "file" && part.fieldname === field) {
        files++;
        bytes = await part.toBuffer();
      } else {
        other ??= part.type === "file" ? `a file in ${quoted(part.fieldname)}` : `text in ${quoted(part.fieldname)}`;
        if (part.type === "file") await drain(part.file);
      }
    }
  } catch (error) {
    throw asUploadError(error, field, maxBytes);
  }
  if (files > 1) {
    throw new PipelineError("REQUEST_INVALID", `the request has ${files} files in the field "${field}"`, {
      remedy: "send one image per request",
    });
  }
  if (bytes === undefined) {
    const found = other === undefined ? "" : ` but ${other}`;
    throw new PipelineError("REQUEST_INVALID", `the request has no file in a field named "${field}"${found}`, {
      remedy: `send the image as curl -F ${field}=@image.jpg does`,
    });
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

function asUploadError(error: unknown, field: string, maxBytes: number): PipelineError {
  if (isPipelineError(error)) return error;
  const code = (error as { code?: string }).code;
  if (code === "FST_REQ_FILE_TOO_LARGE") {
    return new PipelineError("IMAGE_TOO_LARGE", `the uploaded file has more than ${maxBytes} bytes`, {
      remedy: "send a smaller or more compressed image",
      cause: error,
    });
  }
  if (code === "FST_FILES_LIMIT") {
    return new PipelineError("REQUEST_INVALID", "the request has more than one file", {
      remedy: "send one image per request",
      cause: error,
    });
  }
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
