import type { z } from "zod";
import type { ArtifactStore } from "../artifacts.ts";
import type { SqlStore } from "../sql/store.ts";
import { parse } from "./request.ts";

export interface ApiContext {
  readonly store: SqlStore;
  readonly artifacts: ArtifactStore;
}

/** One call of the API, below /api/2.0/mlflow and /ajax-api/2.0/mlflow. */
export interface ApiRoute {
  readonly method: "GET" | "POST" | "PATCH" | "DELETE";
  readonly path: string;
  /** @param input names and values of path, query and body together */
  readonly handle: (input: unknown, context: ApiContext) => Promise<object>;
}

export function route<S extends z.ZodType>(
  line: `${ApiRoute["method"]} ${string}`,
  schema: S,
  handle: (input: z.output<S>, context: ApiContext) => Promise<object>,
): ApiRoute {
  const [method, path] = line.split(" ") as [ApiRoute["method"], string];
  return { method, path, handle: async (input, context) => handle(parse(schema, input), context) };
}
