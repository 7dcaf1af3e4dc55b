import { createHash } from "node:crypto";
import { readdir, readFile } from "node:fs/promises";
import { dirname, join, relative, sep } from "node:path";
import { fileURLToPath } from "node:url";
import { isMissing } from "../base/durable.ts";
import { workerUrl } from "../base/worker-url.ts";
import { writeZip, type ZipEntry } from "./zip-writer.ts";

/** The program as Ray's nodes get it: an archive that is named by what is in it. */
export interface RayPackage {
  /** Such as "_ray_pkg_0123456789abcdef.zip". */
  readonly name: string;
  readonly bytes: Uint8Array;
}

/** What npm needs to install the dependencies on a node. */
const besides = ["package.json", "package-lock.json", ".npmrc"];

/** The compiled program of this package, without its dependencies. */
export async function packProgram(): Promise<RayPackage> {
  const build = dirname(dirname(fileURLToPath(workerUrl("workers/trial-process"))));
  const root = dirname(build);
  const entries: ZipEntry[] = [];
  for (const file of await readdir(build, { recursive: true, withFileTypes: true })) {
    if (!file.isFile() || file.name.endsWith(".d.ts")) continue;
    const path = join(file.parentPath, file.name);
    entries.push({ path: `dist/${relative(build, path).split(sep).join("/")}`, data: await readFile(path) });
  }
  for (const name of besides) {
    const data = await readFile(join(root, name)).catch((error: unknown) => {
      if (!isMissing(error)) throw error;
      return undefined;
    });
    if (data !== undefined) entries.push({ path: name, data });
  }
  entries.sort((a, b) => (a.path < b.path ? -1 : 1));
  const bytes = writeZip(entries);
  const digest = createHash("sha256").update(bytes).digest("hex").slice(0, 16);
  return { name: `_ray_pkg_${digest}.zip`, bytes };
}
