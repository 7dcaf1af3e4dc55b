import { PipelineError } from "../base/errors.ts";
import type { Config } from "../config/schema.ts";
import type { Model, ModelOptions } from "../models/model.ts";
import { type ModelName, models } from "../models/registry.ts";

interface InputShape {
  readonly classes: number;
  readonly height: number;
  readonly width: number;
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
} satisfies Record<ModelName, (config: Config, input: ModelOptions & InputShape) => Model>;

/** @throws CONFIG_UNSUPPORTED for an architecture that this version does not have */
export function configuredModel(config: Config, input: InputShape): Model {
  const { name } = config.model;
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
