import { PipelineError } from "../base/errors.ts";
import type { Model } from "../models/model.ts";
import { sameShape } from "../tensor/shape.ts";
import type { Named, Tensor } from "../tensor/tensor.ts";

export interface FitWeightsOptions {
  readonly model: Model;
  readonly tensors: Named<Tensor<"float32">>;
  /**
   * What is wanted of the file. "all": everything. "replaceable classifier": everything, but the last linear layer only
   * where it has as many classes as the model's. "stages": what comes before the head.
   */
  readonly want: "all" | "replaceable classifier" | "stages";
}

export interface FittedWeights {
  /** Of the file, by the model's names. */
  readonly weights: Named<Tensor<"float32">>;
  /** Parameters that keep their first values. */
  readonly replaced: readonly string[];
}

/** Differences that an error lists of each kind. */
const listed = 8;

/**
 * Tensors of a file as weights of a model: each name must be in both with the same shape, but for what `want` says.
 * @throws WEIGHTS_MISMATCH with all that is missing, unexpected or of another shape
 */
export function fitWeights({ model, tensors, want }: FitWeightsOptions): FittedWeights {
  const given = new Map(Object.entries(tensors).map(([name, tensor]) => [currentName(name, model.family), tensor]));
  const headNames = new Set([...model.head.parameters, ...model.head.buffers].map(({ name }) => name));
  const headPrefix = `${model.classifier.split(".")[0]}.`;
  const ofHead = (name: string): boolean => headNames.has(name) || name.startsWith(headPrefix);
  const specs = [...model.module.parameters, ...model.module.buffers];
  const weights: [string, Tensor<"float32">][] = [];
  const replaced: string[] = [];
  const missing: string[] = [];
  const misshaped: string[] = [];
  for (const { name, shape } of specs) {
    const tensor = given.get(name);
    if (want === "stages" && ofHead(name)) {
      replaced.push(name);
    } else if (tensor === undefined) {
      missing.push(name);
    } else if (!sameShape(tensor.shape, shape)) {
      const free = want === "replaceable classifier" && name.startsWith(`${model.classifier}.`);
      if (free && sameShape(tensor.shape.slice(1), shape.slice(1))) replaced.push(name);
      else misshaped.push(`${name} [${tensor.shape}] instead of [${shape}]`);
    } else {
      weights.push([name, tensor]);
    }
  }
  const known = new Set(specs.map(({ name }) => name));
  const unexpected = [...given.keys()].filter((name) => !known.has(name) && !(want === "stages" && ofHead(name)));
  if (missing.length + unexpected.length + misshaped.length > 0) {
    const parts = [
      describe("missing", missing),
      describe("unexpected", unexpected),
      describe("of another shape", misshaped),
    ].filter((part) => part !== undefined);
    throw new PipelineError("WEIGHTS_MISMATCH", `the weights do not fit ${model.name}: ${parts.join("; ")}`, {
      remedy: "set model.name to the architecture that they were made for",
      details: { missing, unexpected, misshaped },
    });
  }
  return { weights: Object.fromEntries(weights), replaced };
}

function describe(kind: string, names: readonly string[]): string | undefined {
  if (names.length === 0) return undefined;
  const more = names.length > listed ? ` and ${names.length - listed} more` : "";
  return `${names.length} ${kind}: ${names
    .slice(0, listed)
    .map((name) => name.slice(0, 120))
    .join(", ")}${more}`;
}

/** DenseNet's published files are from the time when a layer's parts were called norm.1 instead of norm1. */
function currentName(name: string, family: string): string {
  return family === "densenet" ? name.replace(/(\.denselayer\d+\.(?:norm|conv))\.([12]\.)/, "$1$2") : name;
}
