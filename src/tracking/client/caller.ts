import type { z } from "zod";
import type { HttpRequest } from "./http.ts";

/** Sends a call of the API, such as "GET runs/get", and checks the answer. */
export type Caller = <S extends z.ZodType>(
  line: `${HttpRequest["method"]} ${string}`,
  schema: S,
  input?: Input,
) => Promise<z.output<S>>;

interface Input {
  readonly query?: HttpRequest["query"];
  readonly json?: object;
  readonly repeatable?: "yes" | "no";
}
