import { input } from "../graph/build.ts";
import { linear } from "../nn/layers/linear.ts";
import { activation, dropout } from "../nn/layers/pointwise.ts";
import { globalAvgPool } from "../nn/layers/pool.ts";
import { rcbam } from "../nn/layers/rcbam.ts";
import { type Module, sequential } from "../nn/module.ts";
import { trace } from "../nn/trace.ts";
import { assemble, type Model, type Network } from "./model.ts";

/** Ways of transfer learning that leave the pretrained stages as they are. */
export type FrozenMode = "classifier_only" | "RCBAM";

export interface FrozenTransferOptions {
  readonly mode: FrozenMode;
  readonly dropoutRate: number;
  /** Between the two convolutions of RCBAM; default: as many as the features have. */
  readonly innerChannels?: number | undefined;
}

/** A network in two parts: what is frozen gives features, what is trained makes logits of them. */
export interface FrozenTransfer {
  /** Both parts in one, as it is served. */
  readonly model: Model;
  /** Images [N, 3, height, width] to features. */
  readonly backbone: Module;
  readonly trained: Network;
}

/** Units of the hidden layer behind RCBAM. */
const HIDDEN_UNITS = 1024;

/**
 * A model with a new head on frozen stages.
 *
 * classifier_only: global average pool | dropout, linear. The features are the pooled ones, [N, C].
 * RCBAM: | rcbam, global average pool, dropout, linear 1024, ReLU, dropout, linear. The features are maps [N, C, h, w].
 *
 * The parameters begin with the name of the published head ("classifier" or "fc"): that with `.1.weight` and
 * `.1.bias`, the place of the linear layer behind a dropout in PyTorch, or `.rcbam.…`, `.hidden.…`, `.output.…`.
 */
export function frozenTransfer(model: Model, options: FrozenTransferOptions): FrozenTransfer {
  const { mode, dropoutRate, innerChannels } = options;
  const { classes, featureChannels, stages } = model;
  const name = model.classifier.split(".")[0]!;
  const last = mode === "RCBAM" ? `${name}.output` : `${name}.1`;
  const backbone = mode === "RCBAM" ? sequential(...stages) : sequential(...stages, globalAvgPool);
  const trained =
    mode === "RCBAM"
      ? sequential(
          rcbam(`${name}.rcbam`, {
            channels: featureChannels,
            ...(innerChannels === undefined ? {} : { innerChannels }),
          }),
          globalAvgPool,
          dropout(`${name}.pooled`, dropoutRate),
          linear(`${name}.hidden`, { inFeatures: featureChannels, outFeatures: HIDDEN_UNITS }),
          activation("relu"),
          dropout(`${name}.hidden`, dropoutRate),
          linear(last, { inFeatures: HIDDEN_UNITS, outFeatures: classes }),
        )
      : sequential(dropout(name, dropoutRate), linear(last, { inFeatures: featureChannels, outFeatures: classes }));
  const head = mode === "RCBAM" ? trained : sequential(globalAvgPool, trained);
  const { dataInit: _firstFilters, freezeAfter: _firstEpochs, ...parts } = model;
  return {
    model: assemble({ ...parts, head, classifier: last }),
    backbone,
    trained: { name: model.name, module: trained, input: { name: "features", shape: featureShape(model, backbone) } },
  };
}

/** Of one image. */
function featureShape({ height, width }: Model, backbone: Module): readonly number[] {
  return trace(backbone, input("images", "float32", [1, 3, height, width]), "eval").output.shape.slice(1);
}
