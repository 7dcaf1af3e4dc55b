import { z } from "zod";
import { pathText } from "../path-text.ts";

const muonOptions = z
  .strictObject({
    newton_schulz_steps: z
      .int()
      .min(1)
      .max(20)
      .default(3)
      .describe("Newton-Schulz iterations that orthogonalise the momentum of each filter."),
    bias_learning_rate: z
      .number()
      .positive()
      .default(106)
      .describe("Learning rate of the biases, which SGD with Nesterov momentum updates (0.053 x 2000, loss averaged)."),
    head_learning_rate: z
      .number()
      .positive()
      .default(1340)
      .describe("Learning rate of the classifier, updated the same way (0.67 x 2000, loss averaged)."),
    sgd_momentum: z.number().min(0).lt(1).default(0.85).describe("Momentum of that SGD."),
  })
  .prefault({})
  .describe("Used when training.optimizer is muon.");

export const trainingSection = z
  .strictObject({
    batch_size: z.int().min(1).max(65_536).default(256).describe("Images in each training step."),
    gradient_accumulation: z
      .int()
      .min(1)
      .max(4096)
      .default(1)
      .describe("Equal parts in which each step is computed, one after the other, to spare memory."),
    num_epochs: z.int().min(1).max(100_000).default(10).describe("Passes over the training images."),
    checkpoint_dir: pathText().default("checkpoints").describe("Folder for checkpoints and model bundles."),
    optimizer: z
      .enum(["adamw", "sgd", "muon"])
      .default("sgd")
      .describe("AdamW, SGD with Nesterov momentum, or Muon for convolution filters with SGD for the rest."),
    learning_rate: z
      .number()
      .positive()
      .default(0.2)
      .describe("Peak learning rate, for the loss averaged over the batch."),
    momentum: z.number().min(0).lt(1).default(0.9).describe("Momentum of SGD or Muon; AdamW does not use it."),
    weight_decay: z
      .number()
      .min(0)
      .default(5e-4)
      .describe("Weight decay; decoupled from the gradient with AdamW, added to the gradient with SGD."),
    scheduler: z
      .enum(["step", "cosine", "none", "triangle", "onecycle"])
      .default("triangle")
      .describe(
        "Learning rate over time: falling by gamma each step_size epochs, a cosine, constant, straight lines up and down, " +
          "or one cycle of two half cosines (PyTorch's OneCycleLR).",
      ),
    step_size: z.int().min(1).default(10).describe("Epochs between two drops of the scheduler step."),
    gamma: z.number().positive().max(1).default(0.1).describe("Factor of each drop of the scheduler step."),
    warmup_epochs: z
      .number()
      .min(0)
      .nullable()
      .default(null)
      .describe(
        "Epochs, fractions included, of linear rise to the peak learning rate. " +
          "null: a fifth of num_epochs with triangle, three tenths with onecycle, none with the other schedulers.",
      ),
    initial_lr_fraction: z
      .number()
      .min(0)
      .max(1)
      .default(0.1)
      .describe("Learning rate at the start of the warm-up, as a share of the peak."),
    final_lr_fraction: z
      .number()
      .min(0)
      .max(1)
      .default(0)
      .describe("Learning rate at the end of cosine, triangle and onecycle, as a share of the peak."),
    early_stopping: z
      .boolean()
      .default(true)
      .describe("Stop when the validation loss has not improved for `patience` epochs."),
    patience: z.int().min(1).default(5).describe("Epochs without improvement before early stopping."),
    seed: z.int().min(0).max(4_294_967_295).default(42).describe("Seed of everything random in a run."),
    use_amp: z.boolean().default(false).describe("Mixed precision, on devices that have it."),
    label_smoothing: z
      .number()
      .min(0)
      .lt(1)
      .default(0.1)
      .describe("Probability that the target spreads evenly over all classes."),
    grad_clip_norm: z
      .number()
      .positive()
      .nullable()
      .default(null)
      .describe("Largest L2 norm of the whole gradient; longer ones are scaled down. null: no limit."),
    ema_decay: z
      .number()
      .positive()
      .lt(1)
      .nullable()
      .default(null)
      .describe("Decay per step of an exponential moving average of the weights, used for evaluation. null: off."),
    lookahead: z
      .boolean()
      .default(false)
      .describe("Pull the weights to a slow average every five steps, as the airbench recipe does."),
    muon: muonOptions,
    checkpoint_every_steps: z
      .int()
      .min(0)
      .default(0)
      .describe("Steps between two checkpoints. 0: one at the end of each epoch."),
    overfit_one_batch: z
      .boolean()
      .default(false)
      .describe("Train on one batch again and again: a sound network reaches 100 % training accuracy."),
    fast_dev: z.boolean().default(false).describe("Run only a few batches of each stage, to try the whole pipeline."),
    device: z
      .enum(["auto", "cpu", "webgpu", "cuda"])
      .default("cpu")
      .describe("Where training runs. auto: the fastest device present."),
    threads: z.int().min(0).max(1024).default(0).describe("Threads of the engine. 0: one for each core."),
  })
  .describe("How the network is trained.");
