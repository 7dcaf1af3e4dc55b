import { readFile, stat } from "node:fs/promises";
import { z } from "zod";
import { ignoreMissing } from "./durable.ts";

/** What is wrong with a file, as the error that its reader throws. */
export type Damaged = (path: string, reason: string, cause?: unknown) => Error;

/**
 * A JSON file, checked.
 * @param maxBytes a larger file is not read
 * @throws what `damaged` makes, of a missing file too
 */
export async function readJsonFile<T extends z.ZodType>(
  path: string,
  { schema, maxBytes, damaged }: { readonly schema: T; readonly maxBytes: number; readonly damaged: Damaged },
): Promise<z.output<T>> {
  const info = await stat(path).catch(ignoreMissing);
  if (!info?.isFile()) throw damaged(path, "the file is missing");
  if (info.size > maxBytes) throw damaged(path, `${info.size} bytes is more than ${maxBytes}`);
  let value: unknown;
  try {
    value = JSON.parse(await readFile(path, "utf8"));
  } catch (cause) {
    throw damaged(path, "it is not valid JSON", cause);
  }
  const parsed = schema.safeParse(value);
  if (!parsed.success) throw damaged(path, z.prettifyError(parsed.error), parsed.error);
  return parsed.data;
}
