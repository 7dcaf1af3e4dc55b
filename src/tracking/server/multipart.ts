import { createHash, randomBytes } from "node:crypto";
import { createReadStream } from "node:fs";
import { mkdir, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { z } from "zod";
import { isMissing } from "../../base/durable.ts";
import { type ArtifactStore, artifactRootUri } from "../artifacts.ts";
import { invalid, missing } from "../validation.ts";

const maxParts = 10_000;

export interface UploadedPart {
  readonly number: number;
  readonly etag: string;
}

/** Uploads in parts: they wait in a folder of their own until the file is put together. */
export interface MultipartUploads {
  create(path: string, parts: number): Promise<string>;
  /** @returns the part's ETag */
  writePart(
    uploadId: string,
    part: { readonly number: number; readonly stream: AsyncIterable<Uint8Array> },
  ): Promise<string>;
  /** @throws TRACKING_INVALID when a part is missing or is not the one that was written */
  complete(uploadId: string, parts: readonly UploadedPart[]): Promise<void>;
  abort(uploadId: string): Promise<void>;
}

const noteSchema = z.object({ path: z.string(), parts: z.number().int() });

export function openMultipartUploads({
  artifacts,
  maxBytes,
}: {
  readonly artifacts: ArtifactStore;
  readonly maxBytes: number;
}): MultipartUploads {
  const folderOf = (uploadId: string): string => {
    if (!/^[0-9a-f]{32}$/.test(uploadId)) throw missing(`there is no upload ${uploadId.slice(0, 80)}`);
    return join(artifacts.root, ".incoming", `upload-${uploadId}`);
  };
  const noteOf = async (uploadId: string) => {
    const file = join(folderOf(uploadId), "note.json");
    const text = await readFile(file, "utf8").catch((error: unknown) => {
      throw isMissing(error) ? missing(`there is no upload ${uploadId}`) : error;
    });
    return noteSchema.parse(JSON.parse(text));
  };

  return {
    create: async (path, parts) => {
      if (!Number.isInteger(parts) || parts < 1 || parts > maxParts)
        throw invalid(`an upload of ${parts} parts`, `give 1 to ${maxParts}`);
      const uploadId = randomBytes(16).toString("hex");
      // Refuses the path now, not after the parts have come.
      await artifacts.list(artifactRootUri, path);
      await mkdir(folderOf(uploadId), { recursive: true });
      await writeFile(join(folderOf(uploadId), "note.json"), JSON.stringify({ path, parts }));
      return uploadId;
    },
    writePart: async (uploadId, { number, stream }) => {
      const note = await noteOf(uploadId);
      if (!Number.isInteger(number) || number < 1 || number > note.parts)
        throw invalid(`part ${number} of an upload of ${note.parts}`, "number the parts from 1");
      const hash = createHash("md5");
      const file = join(folderOf(uploadId), `part-${number}`);
      const hashed = async function* () {
        let bytes = 0;
        for await (const chunk of stream) {
          bytes += chunk.byteLength;
          if (bytes > maxBytes) throw invalid(`a part of more than ${maxBytes} bytes`, "raise the limit of the server");
          hash.update(chunk);
          yield chunk;
        }
      };
      await writeFile(`${file}.new`, hashed());
      await rename(`${file}.new`, file);
      const etag = hash.digest("hex");
      await writeFile(`${file}.etag`, etag);
      return `"${etag}"`;
    },
    complete: async (uploadId, parts) => {
      const note = await noteOf(uploadId);
      const folder = folderOf(uploadId);
      const ordered = [...parts].sort((a, b) => a.number - b.number);
      if (ordered.length === 0 || ordered.some(({ number }, index) => number !== index + 1))
        throw invalid("the parts of the upload are not 1, 2, 3 and so on", "name each part once");
      for (const { number, etag } of ordered) {
        const written = await readFile(join(folder, `part-${number}.etag`), "utf8").catch(() => undefined);
        if (written === undefined || written !== etag.replaceAll('"', ""))
          throw invalid(`part ${number} of the upload was not written with the ETag ${etag}`, "upload it again");
      }
      const joined = async function* () {
        for (const { number } of ordered) yield* createReadStream(join(folder, `part-${number}`));
      };
      await artifacts.writeStream(artifactRootUri, note.path, { stream: joined(), maxBytes });
      await rm(folder, { recursive: true, force: true });
    },
    abort: async (uploadId) => {
      const folder = folderOf(uploadId);
      if ((await stat(folder).catch(() => undefined)) === undefined) throw missing(`there is no upload ${uploadId}`);
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/** Where a file of the client's disk goes: into the folder, under its own name. */
export function uploadTarget(folder: string, file: string): string {
  const name = basename(file.replaceAll("\\", "/"));
  return `${folder.replace(/\/+$/, "")}/${name}`;
}
