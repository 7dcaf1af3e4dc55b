import { airbench } from "./airbench.ts";
import { densenets } from "./densenet.ts";
import { efficientnets } from "./efficientnet.ts";
import { mobilenetV2 } from "./mobilenet-v2.ts";
import { mobilenetsV3 } from "./mobilenet-v3.ts";
import type { ModelFactory } from "./model.ts";
import { regnets } from "./regnet.ts";
import { resnets } from "./resnet.ts";
import { resnet9 } from "./resnet9.ts";
import { PUBLISHED_SIZE } from "./stem.ts";

/** Every architecture by name. An entry is a row (a family of variants: several): the tests over all models take it up by themselves. */
export const models = {
  resnet9: { name: "resnet9", family: "resnet9", inputSize: 32, build: resnet9 },
  airbench: { name: "airbench", family: "airbench", inputSize: 32, build: airbench },
  mobilenet_v2: { name: "mobilenet_v2", family: "mobilenet", inputSize: PUBLISHED_SIZE, build: mobilenetV2 },
  ...mobilenetsV3,
  ...efficientnets,
  ...resnets,
  ...densenets,
  ...regnets,
} satisfies Record<string, ModelFactory>;

export type ModelName = keyof typeof models;
