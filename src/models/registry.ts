import { airbench } from "./airbench.ts";
import type { ArchitectureName } from "./catalogue.ts";
import { densenets } from "./densenet.ts";
import { efficientnets } from "./efficientnet.ts";
import { mobilenetV2 } from "./mobilenet-v2.ts";
import { mobilenetsV3 } from "./mobilenet-v3.ts";
import type { ModelFactory } from "./model.ts";
import { regnets } from "./regnet.ts";
import { resnets } from "./resnet.ts";
import { resnet9 } from "./resnet9.ts";
import { factory } from "./variants.ts";

/** How each architecture of the catalogue is built. The tests over all models take a new row up by themselves. */
export const models = {
  resnet9: factory("resnet9", resnet9),
  airbench: factory("airbench", airbench),
  mobilenet_v2: factory("mobilenet_v2", mobilenetV2),
  ...mobilenetsV3,
  ...efficientnets,
  ...resnets,
  ...densenets,
  ...regnets,
} satisfies Record<ArchitectureName, ModelFactory>;
