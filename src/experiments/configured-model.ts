import { PipelineError } from "../base/errors.ts";
import type { Config } from "../config/schema.ts";
import { type ArchitectureName, type Family, familyDefaults } from "../models/catalogue.ts";
import { densenets } from "../models/densenet.ts";
import { efficientnets } from "../models/efficientnet.ts";
import { mobilenetsV3 } from "../models/mobilenet-v3.ts";
import type { Model, ModelFactory, ModelOptions } from "../models/model.ts";
import { models } from "../models/registry.ts";
import { regnets } from "../models/regnet.ts";
import { resnets } from "../models/resnet.ts";
import type { StemOptions } from "../models/stem.ts";
import { type FrozenTransfer, frozenTransfer } from "../models/transfer.ts";

export interface InputShape {
  readonly classes: number;
  readonly height: number;
  readonly width: number;
}

type Builder = (config: Config, input: ModelOptions & InputShape) => Model;

/** Which first strides are asked for; none for what the image's size suggests. */
function stemOf({ stem }: Config["model"]): Pick<StemOptions, "stemStride"> {
  return stem === "auto" ? {} : { stemStride: stem === "small" ? 1 : 2 };
}

/** Architectures of fixed width. */
function fixedWidth<Name extends string>(
  factories: Readonly<Record<Name, ModelFactory<StemOptions & { readonly dropoutRate?: number }>>>,
): Record<Name, Builder> {
  const builder =
    (name: Name): Builder =>
    ({ model }, input) =>
      factories[name].build({ ...input, ...stemOf(model), dropoutRate: model.dropout_rate });
  return Object.fromEntries(Object.keys(factories).map((name) => [name, builder(name as Name)])) as Record<
    Name,
    Builder
  >;
}

/** From a configuration to the options of each architecture. */
const builders = {
  resnet9: ({ model }, input) =>
    models.resnet9.build({ ...input, widthFactor: model.width, dropoutRate: model.dropout_rate }),
  airbench: ({ model, training }, input) => {
    const { airbench } = model;
    return models.airbench.build({
      ...input,
      widthFactor: model.width,
      dropoutRate: model.dropout_rate,
      whitening: airbench.whitening ? "frozen" : "trained",
      whiteningBiasEpochs: airbench.whitening_bias_epochs,
      whiteningSamples: airbench.whitening_samples,
      whiteningEps: airbench.whitening_eps,
      filterInit: airbench.dirac_init ? "dirac" : "random",
      // As in airbench94_muon, where the head's learning rate is made for a head of this scale.
      headInit: training.optimizer === "muon" ? "unitStd" : "default",
      batchNormScale: airbench.bn_scale_frozen ? "frozen" : "trained",
      batchNormEps: airbench.bn_eps,
      batchNormDecay: airbench.bn_decay,
      logitScale: airbench.logit_scale,
    });
  },
  mobilenet_v2: ({ model }, input) =>
    models.mobilenet_v2.build({
      ...input,
      ...stemOf(model),
      widthFactor: model.width,
      dropoutRate: model.dropout_rate,
    }),
  ...fixedWidth(mobilenetsV3),
  ...fixedWidth(efficientnets),
  ...fixedWidth(resnets),
  ...fixedWidth(densenets),
  ...fixedWidth(regnets),
} satisfies Record<ArchitectureName, Builder>;

/** @throws INVALID_ARGUMENT for an imported network, which only its file knows */
export function configuredModel(config: Config, input: InputShape): Model {
  const { name } = config.model;
  if (name === "imported") throw new PipelineError("INVALID_ARGUMENT", "an imported network is made of its file");
  return builders[isFamily(name) ? familyDefaults[name] : name](config, input);
}

/** With frozen stages: the network on which `model` gets a new head; undefined where all of it is trained. */
export function configuredTransfer(
  { model: { transfer_mode: mode, ...rest } }: Config,
  model: Model,
): FrozenTransfer | undefined {
  if (mode === "fine_tune" || mode === "from_scratch") return undefined;
  const innerChannels = rest.transfer.rcbam_channels ?? undefined;
  return frozenTransfer(model, { mode, dropoutRate: rest.dropout_rate, innerChannels });
}

/** The network as it is served. */
export function servedModel(config: Config, input: InputShape): Model {
  const model = configuredModel(config, input);
  if (config.model.weights === null) return model;
  return configuredTransfer(config, model)?.model ?? model;
}

function isFamily(name: Config["model"]["name"]): name is Family {
  return Object.hasOwn(familyDefaults, name);
}
