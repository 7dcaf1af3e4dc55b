import { z } from "zod";
import { architectureNames, type Family, familyDefaults } from "../../models/catalogue.ts";
import { pathText } from "../path-text.ts";

/** A family stands for its default variant; an exact variant can be named too, or the network of an ONNX file. */
const modelNames = [...architectureNames(), ...(Object.keys(familyDefaults) as Family[]), "imported" as const];

const airbenchOptions = z
  .strictObject({
    whitening: z
      .boolean()
      .default(true)
      .describe("First layer: a frozen 2x2 convolution that whitens patches of the training images."),
    whitening_bias_epochs: z
      .number()
      .min(0)
      .default(3)
      .describe("Epochs during which the bias of the whitening layer is trained; then it is frozen."),
    whitening_samples: z
      .int()
      .min(100)
      .max(100_000)
      .default(5000)
      .describe("Training images from which the whitening filters are computed."),
    whitening_eps: z
      .number()
      .positive()
      .max(1)
      .default(5e-4)
      .describe("Added to the eigenvalues of the patch covariance before the inverse square root."),
    dirac_init: z
      .boolean()
      .default(true)
      .describe("Initialise the first filters of each convolution as the identity (later ones at random)."),
    bn_scale_frozen: z.boolean().default(true).describe("Keep the scales of batch norm at 1; only biases are trained."),
    bn_eps: z.number().positive().max(1).default(1e-12).describe("Epsilon of batch norm."),
    bn_decay: z
      .number()
      .min(0)
      .lt(1)
      .default(0.6)
      .describe("Share of the old value that batch norm's running statistics keep at each step."),
    bias_lr_scale: z
      .number()
      .positive()
      .default(64)
      .describe(
        "With the optimiser sgd: factor on the learning rate of batch norm's biases; their weight decay per step stays the same.",
      ),
    logit_scale: z
      .number()
      .positive()
      .default(1 / 9)
      .describe("Factor on the logits."),
  })
  .prefault({})
  .describe("Ingredients of the airbench network (github.com/KellerJordan/cifar10-airbench), each an option.");

const transferOptions = z
  .strictObject({
    layer_lr_decay: z
      .number()
      .positive()
      .max(1)
      .default(1)
      .describe("With fine_tune: factor on the learning rate from one stage of the network to the one before it."),
    unfreeze_epochs: z
      .int()
      .min(0)
      .default(0)
      .describe(
        "With fine_tune: the head is trained alone at first, and after so many epochs each one more stage from the end. " +
          "0: everything from the beginning.",
      ),
    batch_norm: z
      .enum(["train", "frozen"])
      .default("train")
      .describe("With fine_tune: normalise by each batch, or by the pretrained running statistics, which then stay."),
    feature_views: z
      .int()
      .min(0)
      .max(100)
      .default(0)
      .describe(
        "With a frozen network: augmented views of each training image whose features are computed once, beside those " +
          "of the image itself; epochs take them in turn.",
      ),
    feature_dir: pathText().default("data/features").describe("Folder for the features of frozen networks."),
    rcbam_channels: z
      .int()
      .min(1)
      .nullable()
      .default(null)
      .describe("Channels between the two convolutions of RCBAM. null: as many as the features have."),
  })
  .prefault({})
  .describe("Transfer learning.");

export const modelSection = z
  .strictObject({
    name: z
      .enum(modelNames)
      .default("resnet9")
      .describe(
        "Architecture: a family or an exact variant; imported: that of the model bundle or ONNX file in model.weights.",
      ),
    transfer_mode: z
      .enum(["classifier_only", "RCBAM", "fine_tune", "from_scratch"])
      .default("from_scratch")
      .describe(
        "What is trained: the classifier only, attention blocks and classifier, everything, or all from scratch.",
      ),
    dropout_rate: z.number().min(0).lt(1).default(0).describe("Dropout before the classifier."),
    weights: pathText()
      .nullable()
      .default(null)
      .describe(
        '"imagenet" (the published weights, downloaded once), or the path of a .pth file, a .safetensors file or a model ' +
          "bundle. null: random first weights.",
      ),
    weights_dir: pathText().default("data/weights").describe("Folder for downloaded weights."),
    stem: z
      .enum(["auto", "published", "small"])
      .default("auto")
      .describe(
        "First strides: published for large images, small for 32x32 (they shrink by 8 instead of 32; no weight " +
          "changes). auto: small below 64 pixels.",
      ),
    width: z
      .number()
      .positive()
      .max(16)
      .default(1)
      .describe("Factor on the number of channels of resnet9, airbench and mobilenet_v2; 1 is the published network."),
    transfer: transferOptions,
    airbench: airbenchOptions,
  })
  .describe("The network.");
