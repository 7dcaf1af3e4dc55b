import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import sharp from "sharp";
import { afterAll, expect, it, vi } from "vitest";
import { serveBundle } from "../api/served.ts";
import { eventsOf, runCli } from "../cli/run-cli.ts";

vi.setConfig({ testTimeout: 240_000 });

const root = await mkdtemp(join(tmpdir(), "tuned-"));
afterAll(() => rm(root, { recursive: true, force: true }));

const settings = [
  ...["dataset.source=synthetic", "dataset.limit=200", "model.name=airbench", "model.width=0.125"],
  ...["model.airbench.whitening_samples=100", "training.batch_size=20", "training.num_epochs=1"],
  ...["evaluation.batch_size=100", "distributed.world_size=2", "distributed.init_method=tcp://127.0.0.1:0"],
  ...[
    "ray_tune.num_samples=2",
    'ray_tune.parameters={"learning_rate":{"values":[0.05,0.1]}}',
    "ray_tune.max_concurrent=1",
  ],
].flatMap((setting) => ["--set", setting]);

it("train --tune --distributed searches, trains the best configuration on all processes, and ends in a model that serves", async () => {
  const { code, stdout, stderr } = await runCli(["train", "--tune", "--distributed", "--json", ...settings], {
    cwd: root,
  });
  expect(code, stderr).toBe(0);
  const events = eventsOf(stdout);
  const [search, training] = events.filter(({ type }) => type === "result");
  expect(search).toMatchObject({ best: { params: { "training.learning_rate": expect.any(Number) } } });
  expect(training).toMatchObject({ reason: "completed" });
  const rate = (search!.best as { params: Record<string, number> }).params["training.learning_rate"];
  const names = (await readdir(join(root, "checkpoints", "models"))).toSorted();
  const [bundle] = names.filter((name) => name.includes("_distributed_"));
  expect(names.filter((name) => name.includes("_tuned_"))).toHaveLength(1);
  const metadata = JSON.parse(await readFile(join(root, "checkpoints", "models", bundle!, "metadata.json"), "utf8"));
  expect(metadata.training.config).toMatchObject({
    training: { learning_rate: rate },
    distributed: { use_distributed: true, world_size: 2 },
  });
  const served = await serveBundle(join(root, "checkpoints", "models", bundle!), { cwd: root });
  try {
    const image = await sharp({ create: { width: 32, height: 32, channels: 3, background: "#804020" } })
      .png()
      .toBuffer();
    const call = { method: "POST", body: new Uint8Array(image), headers: { "content-type": "image/png" } };
    expect((await fetch(`${served.url}/predict`, call)).status).toBe(200);
  } finally {
    await served.kill();
  }
});

it("refuses to search in each of the processes of a launcher", async () => {
  const env = { RANK: "0", WORLD_SIZE: "2", MASTER_ADDR: "127.0.0.1", MASTER_PORT: "29500" };
  const { code, stderr } = await runCli(["train", "--tune", "--distributed", ...settings], { cwd: root, env });
  expect({ code, stderr }).toEqual({
    code: 2,
    stderr: expect.stringMatching(/only one of them can search[\s\S]*tuned_config\.yaml/),
  });
});
