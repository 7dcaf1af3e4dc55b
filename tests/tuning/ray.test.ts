import { mkdir, mkdtemp, readdir, readFile, readlink, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { readBundle } from "../../src/inference/bundle.ts";
import { entrypoint } from "../../src/ray/program-jobs.ts";
import { RayClient } from "../../src/ray/ray-client.ts";
import { packProgram } from "../../src/ray/ray-package.ts";
import { readStudy } from "../../src/tuning/journal.ts";
import type { Study } from "../../src/tuning/study.ts";
import type { StudyEvent } from "../../src/tuning/study-event.ts";
import { type CliResult, eventsOf, startCli } from "../cli/run-cli.ts";
import { startTraining } from "../distributed/distributed-run.ts";
import { findRay, type RayCluster, type RayNode, rayRemedy, startRay } from "./ray-cluster.ts";

const ray = findRay();

vi.setConfig({ testTimeout: 500_000, hookTimeout: 500_000 });

const nodeModules = fileURLToPath(new URL("../../node_modules", import.meta.url));

// Epochs that take longer than Ray takes to stop a job.
const small = [
  ...["dataset.source=synthetic", "dataset.limit=4000", "model.name=airbench", "model.width=0.125"],
  ...["model.airbench.whitening_samples=200", "training.batch_size=32", "training.num_epochs=5", "training.seed=7"],
  ...["evaluation.batch_size=100", "ray_tune.num_samples=3", "ray_tune.resources_per_trial.cpu=1"],
  // One after another: a trial that learns, one that learns more, and one that learns nothing, which the first rung stops.
  ...["ray_tune.max_concurrent=1", "ray_tune.search.algorithm=grid", "ray_tune.metric=val_loss"],
  ...["ray_tune.scheduler.reduction_factor=2", "ray_tune.parameters={learning_rate: {values: [0.005, 0.02, 1e-6]}}"],
];

describe("entrypoint", () => {
  it("links the dependencies of the node, or installs them once for each package", () => {
    const given = { program: "dist/workers/trial-process.js", args: ["/shared/it's/spec.json"], nodeCommand: "node" };
    expect(entrypoint({ ...given, nodeModules: "/opt/cifar/node_modules" })).toBe(
      "ln -sfn '/opt/cifar/node_modules' node_modules && exec node dist/workers/trial-process.js '/shared/it'\\''s/spec.json'",
    );
    expect(entrypoint(given)).toContain("npm ci --omit=dev");
  });
});

describe("packProgram", () => {
  it("names the same program the same", async () => {
    const [a, b] = [await packProgram(), await packProgram()];
    expect(a.name).toBe(b.name);
    expect(a.name).toMatch(/^_ray_pkg_[0-9a-f]{16}\.zip$/);
    expect(Buffer.from(a.bytes).equals(Buffer.from(b.bytes))).toBe(true);
  });
});

describe("RayClient", () => {
  it("says where there is no cluster", async () => {
    const client = new RayClient({ address: "http://127.0.0.1:9" });
    await expect(client.nodes()).rejects.toMatchObject({ code: "RAY_FAILED" });
  });
});

/** The process of a rank that Ray has started, wherever it is in this machine's tree of processes. */
async function rankOfCluster(cluster: RayCluster, rank: number): Promise<number | undefined> {
  for (const pid of await readdir("/proc")) {
    const folder = /^\d+$/.test(pid) ? await readlink(`/proc/${pid}/cwd`).catch(() => "") : "";
    if (!folder.startsWith(dirname(cluster.tokenFile))) continue;
    const command = await readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => "");
    const environment = await readFile(`/proc/${pid}/environ`, "utf8").catch(() => "");
    const isNode = command.split("\0")[1]?.endsWith("rank-process.js") === true;
    if (isNode && environment.split("\0").includes(`RANK=${rank}`)) return Number(pid);
  }
  return undefined;
}

describe.skipIf(ray === undefined)(`on a Ray cluster${ray === undefined ? ` (${rayRemedy})` : ""}`, () => {
  let cluster: RayCluster;
  let cwd: string;
  let onCluster: readonly string[];
  let first: readonly StudyEvent[];
  let resumed: CliResult;
  let trialAtKill: number;

  const studyEvents = (stdout: string): readonly StudyEvent[] =>
    eventsOf(stdout).flatMap(({ type, event }) => (type === "study" ? [event as StudyEvent] : []));

  const study = async (): Promise<Study> => {
    const studies = join(cwd, "checkpoints", "studies");
    const [name] = await readdir(studies);
    return readStudy(join(studies, name!));
  };

  beforeAll(async () => {
    cluster = await startRay(ray!);
    cwd = await mkdtemp(join(tmpdir(), "cli-ray-"));
    await mkdir(join(cwd, "config"));
    onCluster = [
      `ray_tune.ray.token_file=${cluster.tokenFile}`,
      `ray_tune.ray.node_modules=${nodeModules}`,
      `ray_tune.ray.node_command=${process.execPath}`,
    ];
    const settings = [...small, ...onCluster].flatMap((setting) => ["--set", setting]);
    const where = ["--executor", "ray", "--ray-address", cluster.address];
    let node: RayNode | undefined = await cluster.addNode();
    // Trial 0 loses its node; later the tuner is killed while another trial runs.
    const { child, ended } = startCli(["tune", ...settings, ...where, "--json"], {
      cwd,
      env: { MLFLOW_TRACKING_USERNAME: "somebody" },
      onLine(line) {
        const { event } = JSON.parse(line) as { event?: StudyEvent };
        if (event?.type !== "report") return;
        if (event.trial === 0 && node !== undefined) {
          const lost = node;
          node = undefined;
          void lost.kill().then(() => cluster.addNode());
        }
        if (event.trial > 0 && event.step === 3) child.kill("SIGKILL");
      },
    });
    const { stdout, stderr } = await ended;
    first = studyEvents(stdout);
    const running = (await study()).trials.find(({ status }) => status === "running");
    if (running === undefined) throw new Error(`the tuner was not killed while a trial ran: ${stderr}`);
    trialAtKill = running.number;
    resumed = await startCli(["tune", "--resume", "last", "--json"], { cwd }).ended;
  });

  afterAll(async () => {
    await cluster?.[Symbol.asyncDispose]();
    if (cwd !== undefined) await rm(cwd, { recursive: true, force: true });
  });

  it("runs each trial as a job, with its resources", async () => {
    for (const { handle } of (await study()).trials) {
      expect(handle).toMatch(/^ray:study_\S+-trial-\d{4}-\d+$/);
      const job = await cluster.client.job(handle!.replace("ray:", ""));
      expect(["SUCCEEDED", "STOPPED"]).toContain(job?.status);
    }
    // Where to track reaches the job through its environment, whose values Ray's answer redacts.
    const [{ handle } = { handle: "" }] = (await study()).trials;
    const token = (await readFile(cluster.tokenFile, "utf8")).trim();
    const answer = await fetch(`${cluster.address}/api/jobs/${handle?.replace("ray:", "")}`, {
      headers: { authorization: `Bearer ${token}` },
    });
    expect(await answer.json()).toMatchObject({
      runtime_env: { env_vars: { MLFLOW_TRACKING_USERNAME: expect.any(String) } },
    });
  });

  it("submits a trial again whose node was lost, and it goes on from its checkpoint", async () => {
    const [trial] = (await study()).trials;
    expect(trial!.losses).toBe(1);
    expect(trial!.attempts).toBe(2);
    expect(trial!.reports.map(({ step }) => step)).toEqual([1, 2, 3, 4, 5]);
    expect(
      first
        .filter((event) => event.type === "ended" && event.trial === 0)
        .map((event) => "reason" in event && event.reason),
    ).toEqual(["lost", "complete"]);
  });

  it("stops the jobs of trials that are pruned", async () => {
    const pruned = (await study()).trials.filter(({ reason }) => reason === "pruned");
    expect(pruned.map(({ number }) => number)).toContain(2);
    for (const { handle } of pruned)
      expect(await cluster.client.job(handle!.replace("ray:", ""))).toMatchObject({ status: "STOPPED" });
  });

  it("listens again to the jobs of a tuner that was killed, without starting them again", async () => {
    expect(resumed.code, resumed.stderr).toBe(0);
    const after = studyEvents(resumed.stdout);
    expect(after.some((event) => event.type === "started" && event.trial === trialAtKill)).toBe(false);
    const ended = after.find((event) => event.type === "ended" && event.trial === trialAtKill);
    expect(ended).toMatchObject({ reason: "complete" });
  });

  it("ends with the best trial's model", async () => {
    const { best } = eventsOf(resumed.stdout).at(-1) as never as {
      best: { trial: number; bundle: { directory: string } };
    };
    const { metadata } = await readBundle(best.bundle.directory);
    expect(metadata.name).toMatch(/^airbench_tuned_/);
    expect((await study()).finished?.best).toBe(best.trial);
  });

  it("trains on ranks that are jobs; one that is killed comes back, and no step is lost", async () => {
    let killed = false;
    const { events, code, warnings, bundle, stderr } = await startTraining({
      cwd,
      settings: [
        ...onCluster,
        ...["distributed.use_distributed=true", "distributed.launcher=ray", "distributed.world_size=2"],
        ...["distributed.init_method=tcp://127.0.0.1:0", "distributed.ray_cpus=0.5"],
        `ray_tune.ray.address=${cluster.address}`,
      ],
      onEvent({ type, globalStep }) {
        if (type !== "step" || globalStep !== 5 || killed) return;
        killed = true;
        void rankOfCluster(cluster, 1).then((pid) => process.kill(pid!, "SIGKILL"));
      },
    }).ended;
    expect(code, stderr).toBe(0);
    expect(bundle).toMatch(/^resnet9_distributed_/);
    expect(warnings.join("\n")).toMatch(/rank 1 ended: Ray job cifar-\S+-rank-1-1 FAILED.*; restart 1 of 3/);
    const steps = events.filter(({ type }) => type === "step").map(({ globalStep }) => globalStep);
    expect(steps).toEqual(Array.from({ length: 16 }, (_, i) => i + 1));
  });
});
