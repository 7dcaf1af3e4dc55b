import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";

const file = (path: string): string => fileURLToPath(new URL(`../../benchmarks/${path}`, import.meta.url));
const node = (args: readonly string[], input = "") =>
  spawnSync(process.execPath, args, { encoding: "utf8", input, timeout: 50_000 });
const bench = (...args: string[]) => node([file("run.mjs"), ...args]);

describe("npm run bench", () => {
  it("lists the benchmarks without a name", () => {
    const { status, stdout } = bench();
    expect(status).toBe(0);
    expect(stdout).toMatch(/^ {2}train-step +one training step/m);
  });

  it.each([
    [["nothing"], 2, "no benchmark nothing; there are: "],
    [["train-step", "--fast"], 2, "--fast"],
    [["train-step", "--rounds", "0"], 1, "--rounds: 0 is no whole number above 0"],
    [["train-step", "--networks", "alexnet"], 1, "no alexnet; there are resnet9, mobilenet_v2"],
    [["train-step", "--python", "/nowhere/python"], 1, "pip install torch torchvision"],
  ])("refuses %j with exit code %d and one line", (args, code, hint) => {
    const { status, stdout, stderr } = bench(...args);
    expect({ status, stdout }).toEqual({ status: code, stdout: "" });
    expect(stderr).toContain(hint);
    expect(stderr.trim().split("\n")).toHaveLength(1);
  });

  it("times steps of ours as often as it is asked", () => {
    const options = JSON.stringify({ network: "mobilenet_v2", batch: 2, threads: 1 });
    const { status, stdout, stderr } = node([file("train-step/ours.mjs"), options], '{"steps":1}\n{"steps":5}\n');
    expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
    const [hello, one, five] = stdout
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line));
    expect(hello).toMatchObject({ parameters: 2_236_682, device: expect.stringContaining("1 threads") });
    expect(one.ms).toHaveLength(1);
    expect(five.ms).toHaveLength(5);
    expect(five.loss).toBeLessThan(one.loss);
  });
});

describe("interleave", () => {
  it("gives each contestant one turn a round, begun by another each time", async () => {
    const { interleave } = await import(file("harness/interleave.mjs"));
    const order: string[] = [];
    const contestant = (name: string, ms: number) => ({
      name,
      cpuSeconds: () => 0,
      ask: async ({ steps }: { steps: number }) => {
        order.push(name);
        return { ms: Array(steps).fill(ms), loss: 1 };
      },
    });
    const contestants = [contestant("a", 1), contestant("b", 2), contestant("c", 3)];
    const { times, idleShare } = await interleave(contestants, { rounds: 3, steps: 2, budgetMs: 60_000 });
    expect(order.join("")).toBe("abcbcacab");
    expect(times).toEqual([1, 2, 3].map((ms) => Array(3).fill([ms, ms])));
    expect(idleShare).toBe(0);
  });

  it("refuses a step that did not compute a finite loss", async () => {
    const { interleave } = await import(file("harness/interleave.mjs"));
    const broken = { name: "x", cpuSeconds: () => null, ask: async () => ({ ms: [1], loss: Number.NaN }) };
    await expect(interleave([broken], { rounds: 1, steps: 1, budgetMs: 1 })).rejects.toThrow("x: 1 of 1 steps");
  });
});

describe("statistics", () => {
  it("interpolates quantiles and averages ratios geometrically", async () => {
    const { summarise, geometricMean } = await import(file("harness/statistics.mjs"));
    expect(summarise([4, 1, 3, 2])).toEqual({ count: 4, median: 2.5, lowerQuartile: 1.75, upperQuartile: 3.25 });
    expect(geometricMean([0.5, 2])).toBeCloseTo(1, 12);
  });

  it("adds up kernel times of the last run only", async () => {
    const { kernelTimes } = await import(file("train-step/profile.mjs"));
    const kernel = (ts: number, name: string, dur: number) => ({
      cat: "Node",
      name: `${name}_kernel_time`,
      ts,
      dur,
      args: { op_name: /[A-Z][a-z]+/.exec(name)![0] },
    });
    const run = (ts: number) => ({ cat: "Session", name: "model_run", ts, dur: 100 });
    const events = [
      ...[kernel(1, "Conv_1", 90_000), run(0), kernel(201, "layers.0.weight/Mul_2", 1000)],
      ...[kernel(205, "layers.1.weight/Conv_3", 2000), kernel(207, "Conv_4", 1000), run(200)],
    ];
    expect(kernelTimes(events)).toEqual({
      operators: [
        { name: "Conv", ms: 3, share: 0.75, calls: 2 },
        { name: "Mul", ms: 1, share: 0.25, calls: 1 },
      ],
      layers: [
        { name: "layers.1.weight", ms: 2, share: 0.5, calls: 1 },
        { name: "layers.0.weight", ms: 1, share: 0.25, calls: 1 },
        { name: "(none)", ms: 1, share: 0.25, calls: 1 },
      ],
    });
  });
});
