import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { mpiLaunchers, privateNetwork } from "./mpi-launchers.ts";

const runGroup = fileURLToPath(new URL("run-group.mjs", import.meta.url));

interface Kind {
  readonly name: string;
  readonly transport: "tcp" | "mpi";
  readonly algorithm: "auto" | "ring" | "tree";
  readonly mpirun?: readonly string[];
  /** What to do to have it; undefined where it is here. */
  readonly missing: string | undefined;
  /** Processes of its groups. */
  readonly sizes: readonly number[];
}

/** A new process group is tested by its row. */
const kinds: readonly Kind[] = [
  { name: "tcp ring", transport: "tcp", algorithm: "ring", missing: undefined, sizes: [1, 2, 5] },
  { name: "tcp tree", transport: "tcp", algorithm: "tree", missing: undefined, sizes: [2, 5] },
  { name: "tcp auto", transport: "tcp", algorithm: "auto", missing: undefined, sizes: [4] },
  ...mpiLaunchers.map(({ name, mpirun, missing }): Kind => {
    return { name: `mpi ${name}`, transport: "mpi", algorithm: "auto", mpirun, missing, sizes: [2, 3] };
  }),
];

type Ending = "none" | "hang" | "stop" | "die";

interface Outcome {
  readonly end: string;
  readonly reports: readonly Readonly<Record<string, unknown>>[];
  readonly losses: readonly { readonly rank?: number; readonly reason: string; readonly seconds: number | null }[];
}

interface Limits {
  readonly heartbeatTimeoutMs?: number;
  readonly callTimeoutMs?: number;
}

/** Wide, for busy machines: without what is tried here a loss would go unseen for two minutes. */
const soonSeconds = 30;

async function run(kind: Kind, worldSize: number, ending: Ending, limits: Limits = {}): Promise<Outcome> {
  const { heartbeatTimeoutMs = 120_000, callTimeoutMs = 120_000 } = limits;
  const plan = JSON.stringify({ ...kind, worldSize, ending, heartbeatTimeoutMs, callTimeoutMs });
  const command = [...(kind.transport === "mpi" ? privateNetwork : []), process.execPath, runGroup, plan];
  const child = spawn(command[0]!, command.slice(1), { stdio: ["ignore", "pipe", "pipe"] });
  let [stdout, stderr] = ["", ""];
  child.stdout.on("data", (chunk: Buffer) => {
    stdout += chunk.toString();
  });
  child.stderr.on("data", (chunk: Buffer) => {
    stderr += chunk.toString();
  });
  const code = await new Promise<number | null>((resolve) => child.once("close", resolve));
  if (code !== 0) throw new Error(`the group of ${kind.name} ended with ${code}: ${stderr}`);
  return JSON.parse(stdout.trim().split("\n").at(-1)!) as Outcome;
}

describe.each(kinds)("process group $name", (kind) => {
  if (kind.missing !== undefined) {
    it.skip(kind.missing, () => undefined);
    return;
  }

  it.each(kind.sizes)("of %i: sums, order, broadcasts, gathers and barriers are right", async (worldSize) => {
    const { end, reports, losses } = await run(kind, worldSize, "none");
    expect(end).toBe("members");
    expect(losses).toEqual([]);
    expect(reports).toHaveLength(worldSize);
    for (const report of reports) {
      const { description, gathered, "largest error": error, done, "different sums": different, ...checks } = report;
      expect(description).toContain(`${kind.transport} (${worldSize} processes`);
      expect(gathered).toEqual(Array.from({ length: worldSize }, (_, rank) => [rank * 1000, true]));
      // Half a unit in the last place of at most worldSize, for each addition.
      expect(error).toBeLessThan(worldSize ** 2 * 2 ** -24);
      expect(done).toBe(true);
      expect(Object.keys(checks).length).toBeGreaterThan(10);
      for (const [name, right] of Object.entries(checks)) expect(right, name).toBe(true);
      if (worldSize > 1) expect(different).toMatchObject({ code: expect.stringMatching(/^PEER_(REFUSED|LOST)$/) });
    }
    if (worldSize === 1) return;
    // Over TCP those that are connected to the odd one out know the sizes, over MPI all do.
    const named = reports.map((report) => (report["different sums"] as { message: string }).message);
    const told = named.filter((message) => /\b100\b/.test(message) && /\b200\b/.test(message));
    expect(told.length, named.join("\n")).toBeGreaterThanOrEqual(kind.transport === "mpi" ? worldSize : 2);
  });

  // Which algorithm is taken changes nothing of how a member is missed.
  if (kind.name === "tcp auto" || kind.name === "tcp tree") return;

  it("ends a call that one member does not make, within the time of a call", async () => {
    const { end, reports } = await run(kind, 3, "hang", { callTimeoutMs: 1500 });
    expect(end).toBe("members");
    for (const report of reports.slice(0, 2)) {
      const { code, seconds } = report.lost as { code: string; seconds: number };
      expect(code).toBe("PEER_LOST");
      expect(seconds).toBeLessThan(soonSeconds);
      expect(report["still lost"]).toBe("PEER_LOST");
    }
  });

  it("ends the calls of all when one member stops, within the time of a heartbeat", async () => {
    const { reports, losses } = await run(kind, 3, "stop", { heartbeatTimeoutMs: 2000 });
    expect(losses[0]).toMatchObject({ rank: 2, reason: expect.stringMatching(/was silent/) });
    expect(losses[0]!.seconds).toBeLessThan(soonSeconds);
    for (const report of reports.slice(0, 2)) {
      expect(report.lost).toMatchObject({ code: "PEER_LOST" });
      expect((report.lost as { seconds: number }).seconds).toBeLessThan(soonSeconds);
    }
  });

  it("tells at once that a member died", async () => {
    const { losses, reports } = await run(kind, 3, "die");
    expect(losses[0], JSON.stringify(losses)).toMatchObject({ seconds: expect.any(Number) });
    expect(losses[0]!.seconds).toBeLessThan(soonSeconds);
    // mpirun ends the others as well.
    if (kind.transport === "mpi") return;
    for (const report of reports.slice(0, 2)) {
      expect(report.lost).toMatchObject({ code: "PEER_LOST" });
      expect((report.lost as { seconds: number }).seconds).toBeLessThan(soonSeconds);
    }
  });
});
