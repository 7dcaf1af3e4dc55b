import { createReadStream } from "node:fs";
import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { parse, stringify } from "yaml";
import type { z } from "zod";
import { isMissing } from "../../../base/durable.ts";
import { PipelineError } from "../../../base/errors.ts";
import type { Tag } from "../../types.ts";
import type { TransferFile } from "../transfer.ts";

/** The folder of text files that MLflow wrote before it had a database: how they are read and written. */

export async function readMeta<S extends z.ZodType>(directory: string, schema: S): Promise<z.output<S> | undefined> {
  const text = await readFile(join(directory, "meta.yaml"), "utf8").catch((error: unknown) => {
    if (isMissing(error) || (error as NodeJS.ErrnoException).code === "ENOTDIR") return undefined;
    throw error;
  });
  if (text === undefined) return undefined;
  const parsed = schema.safeParse(parse(text));
  if (parsed.success) return parsed.data;
  throw new PipelineError("DATA_CORRUPT", `${join(directory, "meta.yaml")} is not as MLflow writes it`, {
    cause: parsed.error,
    remedy: "move the folder away and start again",
  });
}

export async function writeMeta(directory: string, meta: Readonly<Record<string, unknown>>): Promise<void> {
  await writeText(join(directory, "meta.yaml"), stringify(meta, { lineWidth: 0 }));
}

/** Files whose names are keys (with "/" as folders) and whose contents are values. */
export async function readEntries(directory: string): Promise<Tag[]> {
  const entries: Tag[] = [];
  for (const key of await leavesBelow(directory))
    entries.push({ key, value: await readFile(join(directory, key), "utf8") });
  return entries;
}

export async function writeEntries(directory: string, entries: readonly Tag[]): Promise<void> {
  await mkdir(directory, { recursive: true });
  for (const { key, value } of entries) await writeText(join(directory, key), value);
}

export async function writeText(file: string, text: string): Promise<void> {
  await mkdir(dirname(file), { recursive: true });
  await writeFile(file, text);
}

export async function namesIn(directory: string): Promise<string[]> {
  const entries = await readdir(directory, { withFileTypes: true }).catch((error: unknown) => {
    if (isMissing(error)) return [];
    throw error;
  });
  return entries
    .filter((entry) => entry.isDirectory() && entry.name !== ".trash")
    .map(({ name }) => name)
    .sort();
}

export async function leavesBelow(directory: string): Promise<string[]> {
  const keys: string[] = [];
  for await (const { path } of filesBelow(directory, "")) keys.push(path);
  return keys.sort();
}

export async function* filesBelow(root: string, below: string): AsyncGenerator<TransferFile> {
  const entries = await readdir(join(root, below), { withFileTypes: true }).catch((error: unknown) => {
    if (isMissing(error)) return [];
    throw error;
  });
  for (const entry of entries) {
    const path = below === "" ? entry.name : `${below}/${entry.name}`;
    if (entry.isDirectory()) yield* filesBelow(root, path);
    else if (entry.isFile()) yield { path, open: async () => createReadStream(join(root, path)) };
  }
}
