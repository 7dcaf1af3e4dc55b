import { PipelineError } from "../base/errors.ts";
import type { Config } from "../config/schema.ts";
import { densenets } from "../models/densenet.ts";
import type { Model, ModelFactory, ModelOptions } from "../models/model.ts";
import { type ModelName, models } from "../models/registry.ts";
import { regnets } from "../models/regnet.ts";
import { resnets } from "../models/resnet.ts";

interface InputShape {
  readonly classes: number;
  readonly height: number;
  readonly width: number;
}

type Builder = (config: Config, input: ModelOptions & InputShape) => Model;

/** What the name of a family stands for. */
const defaultVariants: Readonly<Record<string, ModelName>> = {
  resnet: "resnet18",
  densenet: "densenet121",
  regnet: "regnet_y_400mf",
};

/** Architectures of fixed width: dropout is their only option. */
function fixedWidth<Name extends string>(
  factories: Readonly<Record<Name, ModelFactory<ModelOptions & { readonly dropoutRate?: number }>>>,
): Record<Name, Builder> {
  const builder =
    (name: Name): Builder =>
    ({ model }, input) =>
      factories[name].build({ ...input, dropoutRate: model.dropout_rate });
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
    models.mobilenet_v2.build({ ...input, widthFactor: model.width, dropoutRate: model.dropout_rate }),
  ...fixedWidth(resnets),
  ...fixedWidth(densenets),
  ...fixedWidth(regnets),
} satisfies Record<ModelName, Builder>;

/** @throws CONFIG_UNSUPPORTED for an architecture that this version does not have */
export function configuredModel(config: Config, input: InputShape): Model {
  const name = defaultVariants[config.model.name] ?? config.model.name;
  if (!isModelName(name)) {
    throw new PipelineError("CONFIG_UNSUPPORTED", `model.name: "${name}" is not available yet`, {
      remedy: `use one of ${Object.keys(models).join(", ")}`,
    });
  }
  return builders[name](config, input);
}

function isModelName(name: string): name is ModelName {
  return Object.hasOwn(models, name);
}
