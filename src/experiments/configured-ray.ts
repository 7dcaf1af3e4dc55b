import { readFile } from "node:fs/promises";
import { PipelineError } from "../base/errors.ts";
import type { Config } from "../config/schema.ts";
import type { ClusterProgram } from "../ray/program-jobs.ts";
import type { RayClientOptions } from "../ray/ray-client.ts";

/** The cluster of a configuration. @throws STORAGE_FAILED when the file with its token can't be read */
export async function configuredRay(ray: Config["ray_tune"]["ray"]): Promise<RayClientOptions & ClusterProgram> {
  const { address, token_file: tokenFile, node_modules: nodeModules, node_command: nodeCommand } = ray;
  const token = tokenFile === null ? undefined : await readToken(tokenFile);
  return { address, token, nodeModules: nodeModules ?? undefined, nodeCommand };
}

async function readToken(path: string): Promise<string> {
  try {
    return (await readFile(path, "utf8")).trim();
  } catch (cause) {
    throw new PipelineError(
      "STORAGE_FAILED",
      `the Ray cluster's token in ${path} can't be read: ${(cause as Error).message}`,
      {
        remedy: "correct ray_tune.ray.token_file",
        cause,
      },
    );
  }
}
