import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import sharp from "sharp";
import { expect, it, onTestFinished } from "vitest";
import { readImageFolder } from "../../src/data/folder.ts";
import { createLogger } from "../../src/observability/logger.ts";
import { startServer } from "../../src/serving/server.ts";
import { writeTinyBundle } from "../api/tiny-bundle.ts";
import { runCli } from "./run-cli.ts";

it("of a photo is seen alike by training, the command line and the service", async () => {
  const root = await mkdtemp(join(tmpdir(), "orientation-"));
  onTestFinished(() => rm(root, { recursive: true, force: true }));
  const pixels = Uint8Array.from({ length: 60 * 40 * 3 }, (_, i) => (i * i * 7 + i) % 251);
  const photo = () => sharp(pixels, { raw: { width: 60, height: 40, channels: 3 } });
  const marked = await photo().withMetadata({ orientation: 6 }).png().toBuffer();
  const turned = await photo().rotate(90).png().toBuffer();
  const plain = await photo().png().toBuffer();

  const training = async (name: string, file: Buffer): Promise<Uint8Array> => {
    for (const folder of ["a", "b"]) {
      await mkdir(join(root, name, "train", folder), { recursive: true });
      await mkdir(join(root, name, "val", folder), { recursive: true });
      for (const part of ["train", "val"]) await writeFile(join(root, name, part, folder, "x.png"), file);
    }
    return (await readImageFolder(join(root, name), { imgSize: 32 })).train.images;
  };
  const { directory } = await writeTinyBundle(root);
  type Answer = Readonly<Record<string, number>>;
  const commandLine = async (name: string): Promise<Answer> => {
    const file = join(root, name, "val", "a", "x.png");
    const { code, stdout, stderr } = await runCli(["predict", file, "--model", directory, "--json"], { cwd: root });
    expect({ code, stderr }).toMatchObject({ code: 0 });
    return (JSON.parse(stdout) as { predictions: [{ all_probabilities: Answer }] }).predictions[0].all_probabilities;
  };
  const server = await startServer({ bundle: directory, port: 0, logger: createLogger({ level: "silent" }) });
  onTestFinished(() => server.close());
  const service = async (file: Buffer): Promise<Answer> => {
    const call = { method: "POST", body: new Uint8Array(file), headers: { "content-type": "image/png" } };
    const response = await fetch(`${server.url}/predict`, call);
    expect(response.status).toBe(200);
    return ((await response.json()) as { all_probabilities: Answer }).all_probabilities;
  };

  // The image library turns what it has made small, so that pixels differ by their rounding.
  const largest = (a: Uint8Array, b: Uint8Array): number =>
    a.reduce((max, v, i) => Math.max(max, Math.abs(v - b[i]!)), 0);
  const seen = await training("marked", marked);
  expect(largest(seen, await training("turned", turned))).toBeLessThanOrEqual(1);
  expect(largest(seen, await training("plain", plain))).toBeGreaterThan(50);
  const [line, answer] = [await commandLine("marked"), await service(marked)];
  expect(line).toEqual(answer);
  for (const [name, value] of Object.entries(await service(turned))) expect(answer[name]).toBeCloseTo(value, 2);
  for (const [name, value] of Object.entries(await commandLine("turned"))) expect(line[name]).toBeCloseTo(value, 2);
});
