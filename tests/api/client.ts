import type { FastifyInstance } from "fastify";

export interface FormPart {
  readonly name: string;
  readonly filename?: string;
  readonly type?: string;
  readonly content: Uint8Array | string;
}

/** A multipart/form-data body, as a browser or curl writes it. */
export function formBody(parts: readonly FormPart[], boundary = "test-boundary-7f3a"): Buffer {
  const chunks: Uint8Array[] = [];
  for (const { name, filename, type, content } of parts) {
    const disposition = `form-data; name="${name}"${filename === undefined ? "" : `; filename="${filename}"`}`;
    const contentType = type === undefined ? "" : `\r\nContent-Type: ${type}`;
    chunks.push(Buffer.from(`--${boundary}\r\nContent-Disposition: ${disposition}${contentType}\r\n\r\n`));
    chunks.push(Buffer.from(content as Uint8Array), Buffer.from("\r\n"));
  }
  chunks.push(Buffer.from(`--${boundary}--\r\n`));
  return Buffer.concat(chunks);
}

export const formType = "multipart/form-data; boundary=test-boundary-7f3a";

export function imagePart(content: Uint8Array | string, filename = "image.png", type = "image/png"): FormPart {
  return { name: "file", filename, type, content };
}

/** POST /predict through the app without a socket. */
export function predict(app: FastifyInstance, parts: readonly FormPart[], headers: Record<string, string> = {}) {
  return app.inject({
    method: "POST",
    url: "/predict",
    headers: { "content-type": formType, ...headers },
    payload: formBody(parts),
  });
}
