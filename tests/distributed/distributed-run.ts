import { type ChildProcess, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const entry = fileURLToPath(new URL("../../bin/cifar.mjs", import.meta.url));

/** A small training: 8 steps of 64 synthetic images in each of two epochs, one thread in each process. */
export const small = [
  "dataset.source=synthetic",
  "dataset.limit=600",
  "dataset.num_workers=0",
  "model.name=resnet9",
  "model.width=0.125",
  "training.batch_size=64",
  "training.num_epochs=2",
  "training.learning_rate=0.02",
  "training.early_stopping=false",
  "training.threads=1",
];

export interface TrainingOptions {
  readonly cwd: string;
  readonly settings: readonly string[];
  /** In front of the command. */
  readonly prefix?: readonly string[] | undefined;
  readonly args?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  readonly onEvent?: (event: TrainingEvent, child: ChildProcess) => void;
}

export type TrainingEvent = Readonly<Record<string, unknown>> & { readonly type: string };

export interface TrainingEnd {
  readonly code: number | null;
  readonly events: readonly TrainingEvent[];
  readonly losses: readonly number[];
  /** Loss on the validation images after each epoch. */
  readonly validation: readonly number[];
  readonly warnings: readonly string[];
  readonly bundle: string | undefined;
  readonly error: TrainingEvent | undefined;
  readonly stderr: string;
}

export interface DistributedRun {
  readonly child: ChildProcess;
  readonly ended: Promise<TrainingEnd>;
}

/** `cifar train --json` of the build. */
export function startTraining(options: TrainingOptions): DistributedRun {
  const { cwd, settings, prefix = [], args = [], env = {}, onEvent } = options;
  const set = [...small, ...settings].flatMap((setting) => ["--set", setting]);
  const [command = "", ...rest] = [...prefix, process.execPath, entry, "train", "--json", ...args, ...set];
  const { CIFAR_SOURCE: _, ...inherited } = process.env;
  const child = spawn(command, rest, { cwd, env: { ...inherited, ...env }, stdio: ["ignore", "pipe", "pipe"] });
  const events: TrainingEvent[] = [];
  let stderr = "";
  child.stderr.on("data", (chunk: Buffer) => {
    stderr += chunk.toString();
  });
  createInterface({ input: child.stdout }).on("line", (line) => {
    if (!line.startsWith("{")) return;
    const event = JSON.parse(line) as TrainingEvent;
    events.push(event);
    onEvent?.(event, child);
  });
  const of = (type: string): readonly TrainingEvent[] => events.filter((event) => event.type === type);
  const ended = new Promise<TrainingEnd>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code) => {
      resolve({
        code,
        events,
        losses: of("step").map(({ loss }) => loss as number),
        validation: of("epoch").map(({ validation }) => (validation as { loss: number }).loss),
        warnings: of("warning").map(({ message }) => message as string),
        bundle: of("bundle")[0]?.name as string | undefined,
        error: of("error")[0],
        stderr,
      });
    });
  });
  return { child, ended };
}
