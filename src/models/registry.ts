import { airbench } from "./airbench.ts";
import { mobilenetV2 } from "./mobilenet-v2.ts";
import type { ModelFactory } from "./model.ts";
import { resnet9 } from "./resnet9.ts";

/** Every architecture by name. An entry is a row: the tests over all models take it up by themselves. */
export const models = {
  resnet9: { name: "resnet9", family: "resnet9", inputSize: 32, build: resnet9 },
  airbench: { name: "airbench", family: "airbench", inputSize: 32, build: airbench },
  mobilenet_v2: { name: "mobilenet_v2", family: "mobilenet", inputSize: 32, build: mobilenetV2 },
} satisfies Record<string, ModelFactory>;

export type ModelName = keyof typeof models;
