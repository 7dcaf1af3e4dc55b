import { join } from "node:path";
import { z } from "zod";
import { PipelineError } from "../base/errors.ts";
import { readJsonFile } from "../base/json-file.ts";

/** What a backup has, each a folder in it; `prometheus` is what Prometheus has measured. */
export const partNames = ["checkpoints", "runs", "prometheus", "monitoring", "config"] as const;
export type PartName = (typeof partNames)[number];

/** backup.json: a backup is whole when it is there. */
export const manifestFile = "backup.json";

const maxManifestBytes = 256 * 1024 * 1024;

/** Below one of the parts: a manifest from elsewhere must not name other places. */
const path = z.string().refine((text) => {
  const [part, ...rest] = text.split("/");
  const isName = (name: string): boolean => name !== "" && name !== "." && name !== ".." && !/[\0\\]/.test(name);
  return partNames.some((name) => name === part) && rest.length > 0 && rest.every(isName);
}, "it is no path below a part of a backup");

const manifestSchema = z.strictObject({
  formatVersion: z.literal(1),
  createdAt: z.iso.datetime(),
  /** Of the program. */
  version: z.string(),
  files: z
    .array(
      z.strictObject({
        path,
        size: z.int().min(0),
        sha256: z.string().regex(/^[0-9a-f]{64}$/),
        /** Rights of the owner, the group and others. */
        mode: z.int().min(0).max(0o777),
      }),
    )
    .refine((files) => new Set(files.map((file) => file.path)).size === files.length, "a path is named twice"),
});

export type Manifest = z.output<typeof manifestSchema>;
export type BackupFile = Manifest["files"][number];

/** @throws BACKUP_DAMAGED, also where there is none */
export function readManifest(folder: string): Promise<Manifest> {
  return readJsonFile(join(folder, manifestFile), { schema: manifestSchema, maxBytes: maxManifestBytes, damaged });
}

export function damaged(path: string, reason: string, cause?: unknown): PipelineError {
  return new PipelineError("BACKUP_DAMAGED", `${path} of a backup is damaged: ${reason}`, {
    remedy: "take another backup; one that was ended in the middle has no backup.json",
    details: { path },
    cause,
  });
}
