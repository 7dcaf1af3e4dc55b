import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import sharp from "sharp";
import { expect, it, onTestFinished } from "vitest";
import { predict } from "../../examples/predict.ts";
import { trainTiny } from "../../examples/train-tiny.ts";
import { cifarClasses, writeTinyBundle } from "../api/tiny-bundle.ts";

it("examples/train-tiny learns the synthetic images", async () => {
  const lines: string[] = [];
  const accuracy = await trainTiny({ epochs: 5, log: (line) => lines.push(line) });
  expect(lines).toHaveLength(6);
  // Chance is a tenth.
  expect(accuracy).toBeGreaterThan(0.2);
});

it("examples/predict classifies files with the newest bundle", async () => {
  const folder = await mkdtemp(join(tmpdir(), "examples-"));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  await writeTinyBundle(join(folder, "models"));
  const file = join(folder, "red.png");
  await sharp({ create: { width: 40, height: 30, channels: 3, background: "#c00" } }).toFile(file);
  const [answer] = await predict([file], join(folder, "models"));
  expect(answer).toMatchObject({ file, ranking: [expect.any(String), expect.any(String), expect.any(String)] });
  expect(cifarClasses).toContain(answer!.label);
});
