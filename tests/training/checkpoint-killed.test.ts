import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { expect, it, onTestFinished } from "vitest";
import { createRng } from "../../src/base/rng.ts";
import { loadCheckpoint } from "../../src/training/checkpoint.ts";

const kills = Number(process.env.CHECKPOINT_KILLS ?? 12);
const builtFile = (path: string): string => JSON.stringify(new URL(`../../dist/${path}`, import.meta.url).href);

/** Saves one checkpoint after the other, of 2 MB each, telling when each is saved; goes on from what there is. */
const program = `
  import { loadCheckpoint, saveCheckpoint } from ${builtFile("training/checkpoint.js")};
  import { nothingYet } from ${builtFile("training/early-stopping.js")};
  import { floats } from ${builtFile("tensor/tensor.js")};
  const [directory] = process.argv.slice(1);
  const before = await loadCheckpoint(directory).catch(() => undefined);
  for (let globalStep = 1 + (before?.checkpoint.progress.globalStep ?? 0); ; globalStep++) {
    const running = { loss: 0, correct: 0, images: 0, seconds: 0 };
    await saveCheckpoint(directory, {
      progress: { formatVersion: 1, fingerprint: "abc", epoch: 0, step: 0, globalStep, running, best: nothingYet },
      state: { weight: floats([500_000], new Float32Array(500_000).fill(globalStep)) },
      bestWeights: {},
    });
    console.log(globalStep);
  }
`;

it(`a process killed ${kills} times while it saves leaves a whole checkpoint each time, as new as what it had saved`, {
  timeout: 20_000 + kills * 10_000,
}, async () => {
  const directory = await mkdtemp(join(tmpdir(), "checkpoint-killed-"));
  onTestFinished(() => rm(directory, { recursive: true, force: true }));
  const rng = createRng("kills");
  for (let kill = 0; kill < kills; kill++) {
    const child = spawn(process.execPath, ["--input-type=module", "-e", program, directory], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    const ended = once(child, "close");
    let saved = 0;
    let falling = false;
    for await (const line of createInterface({ input: child.stdout })) {
      saved = Number(line);
      if (falling) continue;
      falling = true;
      // A save takes some 10 ms: anywhere in this one or the next.
      void sleep(25 * rng.uniform()).then(() => child.kill("SIGKILL"));
    }
    await ended;
    const { checkpoint } = await loadCheckpoint(directory);
    const { globalStep } = checkpoint.progress;
    expect(globalStep).toBeGreaterThanOrEqual(saved);
    expect(checkpoint.state.weight!.data.every((value) => value === globalStep)).toBe(true);
  }
});
