import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type DistributedRun, startTraining, type TrainingEnd, type TrainingOptions } from "./distributed-run.ts";
import { makeTwoHosts, type TwoHosts } from "./two-hosts.ts";

const heartbeatSeconds = 2;
const rejoinSeconds = 8;
/** What a busy machine may add to a stated time: without the limits that are tried it would be minutes. */
const slackSeconds = 60;
const port = 20_000 + (process.pid % 10_000);
const secret = "the secret of these tests";
const settings = [
  "distributed.sync_batch_norm=true",
  `distributed.heartbeat_timeout=${heartbeatSeconds}`,
  "distributed.rejoin_timeout=60",
];

let cwd: string;
let undisturbed: TrainingEnd;
const running = new Set<DistributedRun>();

/** One process as torchrun, Slurm or Kubernetes would start it. */
function startRank(
  rank: number,
  options: Partial<TrainingOptions> & { readonly address?: string; readonly secret?: string } = {},
): DistributedRun {
  const run = startTraining({
    cwd,
    settings: [...settings, ...(options.settings ?? [])],
    args: ["--distributed"],
    prefix: options.prefix,
    ...(options.onEvent === undefined ? {} : { onEvent: options.onEvent }),
    env: {
      RANK: `${rank}`,
      WORLD_SIZE: "2",
      MASTER_ADDR: options.address ?? "127.0.0.1",
      MASTER_PORT: `${port}`,
      CIFAR_DISTRIBUTED_SECRET: options.secret ?? secret,
    },
  });
  running.add(run);
  run.ended.finally(() => running.delete(run)).catch(() => undefined);
  return run;
}

beforeAll(async () => {
  cwd = await mkdtemp(join(tmpdir(), "cifar-hosts-"));
  const local = ["distributed.use_distributed=true", "distributed.init_method=tcp://localhost:0"];
  undisturbed = await startTraining({ cwd, settings: [...local, "distributed.world_size=2", ...settings] }).ended;
}, 180_000);

afterAll(async () => {
  for (const { child } of running) child.kill("SIGKILL");
  await rm(cwd, { recursive: true, force: true });
});

const stepsOf = ({ events }: TrainingEnd): number[] =>
  events.filter(({ type }) => type === "step").map(({ globalStep }) => globalStep as number);
const allSteps = Array.from({ length: 16 }, (_, i) => i + 1);

describe("processes that others start, told their places by the environment", () => {
  it("train as those of the local launcher; a killed one rejoins when it is started again", {
    timeout: 240_000,
  }, async () => {
    let second = startRank(1);
    const first = startRank(0, {
      onEvent(event) {
        if (event.type !== "step" || event.globalStep !== 5) return;
        second.child.kill("SIGKILL");
        second = startRank(1);
      },
    });
    const end = await first.ended;
    expect(end.error).toBeUndefined();
    expect(stepsOf(end)).toEqual(allSteps);
    expect(end.losses).toEqual(undisturbed.losses);
    expect((await second.ended).code).toBe(0);
  });

  it("turn away a process that does not know the secret, and wait for the right one", {
    timeout: 240_000,
  }, async () => {
    const first = startRank(0);
    const stranger = await startRank(1, { secret: "not the secret of these tests" }).ended;
    expect(stranger.code).toBe(1);
    expect(stranger.stderr).toMatch(/does not know the secret/);
    const second = startRank(1);
    expect((await first.ended).losses).toEqual(undisturbed.losses);
    expect((await second.ended).code).toBe(0);
  });

  it("are refused where they have no secret at all, or can't share a batch", { timeout: 60_000 }, async () => {
    const open = await startRank(0, { secret: "" }).ended;
    expect(open.error).toMatchObject({ code: "CONFIG_INVALID", message: expect.stringContaining("SECRET is not set") });
    const odd = await startRank(0, { settings: ["training.batch_size=63"] }).ended;
    expect(odd.error).toMatchObject({ code: "CONFIG_INVALID", message: expect.stringContaining("share equally") });
  });
});

const probe = makeTwoHosts();
probe?.[Symbol.dispose]();

describe.skipIf(probe === undefined)("two hosts (needs root and iproute2)", () => {
  async function onTwoHosts(run: (hosts: TwoHosts) => Promise<void>): Promise<void> {
    using hosts = makeTwoHosts();
    await run(hosts!);
  }

  it("go on after their link was cut for a while", { timeout: 240_000 }, () =>
    onTwoHosts(async (hosts) => {
      const { address } = hosts;
      let [cutAt, toldAt] = [0, 0];
      const second = startRank(1, { prefix: hosts.on(1), address });
      const first = startRank(0, {
        prefix: hosts.on(0),
        address,
        onEvent(event) {
          if (event.type === "warning" && cutAt > 0 && toldAt === 0) toldAt = performance.now();
          if (event.type !== "step" || event.globalStep !== 5) return;
          hosts.cable("down");
          cutAt = performance.now();
          setTimeout(() => hosts.cable("up"), 3000 * heartbeatSeconds);
        },
      });
      const end = await first.ended;
      expect(end.error).toBeUndefined();
      expect((toldAt - cutAt) / 1000).toBeLessThan(heartbeatSeconds + slackSeconds);
      expect(stepsOf(end)).toEqual(allSteps);
      expect(end.losses).toEqual(undisturbed.losses);
      expect((await second.ended).code).toBe(0);
    }),
  );

  it("end in a stated time when the link stays cut", { timeout: 240_000 }, () =>
    onTwoHosts(async (hosts) => {
      const { address } = hosts;
      const limits = [`distributed.rejoin_timeout=${rejoinSeconds}`];
      let cutAt = 0;
      const second = startRank(1, { prefix: hosts.on(1), address, settings: limits });
      // The first process comes by its own time: it may take longer than the time for a return.
      const first = startRank(0, {
        prefix: hosts.on(0),
        address,
        settings: limits,
        onEvent(event) {
          if (event.type !== "step" || event.globalStep !== 5) return;
          hosts.cable("down");
          cutAt = performance.now();
        },
      });
      const end = await first.ended;
      expect(end.error).toMatchObject({ code: "PEER_LOST", message: expect.stringContaining("rank 1 did not come") });
      expect((performance.now() - cutAt) / 1000).toBeLessThan(heartbeatSeconds + rejoinSeconds + slackSeconds);
      const other = await second.ended;
      expect(other.code).toBe(1);
      expect(other.stderr).toMatch(/PEER_LOST|stopped/);
    }),
  );
});
