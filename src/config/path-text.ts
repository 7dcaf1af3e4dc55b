import { z } from "zod";
import { expandHome } from "../base/home-path.ts";

/** A key whose text is, or can be, a path of this machine: `~/` is expanded wherever the value comes from. */
export function pathText(): z.ZodString {
  return z.string().min(1).overwrite(expandHome);
}
