import * as g from "../../graph/build.ts";
import { type Module, pure } from "../module.ts";

export const maxPool2d = (options: g.PoolOptions): Module => pure((x) => g.maxPool2d(x, options));
export const avgPool2d = (options: g.PoolOptions): Module => pure((x) => g.avgPool2d(x, options));
/** Mean over H and W: [N, C, H, W] -> [N, C]. */
export const globalAvgPool: Module = pure(g.globalAvgPool);
