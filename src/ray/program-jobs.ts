import { isPipelineError } from "../base/errors.ts";
import type { RayClient, RayJob } from "./ray-client.ts";
import { packProgram } from "./ray-package.ts";

/** This program on the nodes of a cluster. */
export interface ClusterProgram {
  /** Where the installed dependencies lie on the nodes; undefined: each node installs them. */
  readonly nodeModules?: string | undefined;
  /** How Node is called on the nodes. */
  readonly nodeCommand: string;
}

/** @returns the working directory of its jobs. @throws RAY_FAILED */
export async function uploadProgram(client: RayClient): Promise<string> {
  const { name, bytes } = await packProgram();
  if (!(await client.hasPackage(name))) await client.upload(name, bytes);
  return `gcs://${name}`;
}

/** The shell command of a job, in the folder of the unpacked program. */
export function entrypoint({
  program,
  args,
  nodeModules,
  nodeCommand,
}: ClusterProgram & { readonly program: string; readonly args: readonly string[] }): string {
  const install =
    nodeModules === undefined
      ? // Jobs of one node share the folder: one of them installs, the others wait.
        "flock install.lock sh -c 'test -f installed || { npm ci --omit=dev --no-audit --no-fund && touch installed; }'"
      : `ln -sfn ${quote(nodeModules)} node_modules`;
  return `${install} && exec ${[nodeCommand, program, ...args.map(quote)].join(" ")}`;
}

/** @returns undefined for a job that the cluster does not know */
export async function lookAt(client: RayClient, id: string): Promise<RayJob | undefined | "unreachable"> {
  try {
    return await client.job(id);
  } catch (error) {
    if (isPipelineError(error, "RAY_FAILED")) return "unreachable";
    throw error;
  }
}

/** Ray's message begins with what happened and may end with the last lines of the log. */
export function briefly(message: string): string {
  const lines = message.trim().split("\n");
  return lines.length === 1 ? lines[0]! : `${lines[0]} … ${lines.at(-1)}`;
}

function quote(word: string): string {
  return `'${word.replaceAll("'", "'\\''")}'`;
}
