// Process of one rank, started by a launcher: everything that it has to know is in its environment.
import { endProcess } from "../base/end-process.ts";
import { meetingPoint, rankFromEnvironment, threadsFromEnvironment } from "../distributed/environment.ts";
import { rankStart, secretFrom } from "../experiments/rank-place.ts";
import { startRank } from "../experiments/run-rank.ts";

// The launcher is gone: nobody would start this process again or take what it tells.
process.on("disconnect", () => endProcess(1));
// Ctrl-C and a hang-up reach all processes of a terminal; the launcher asks to stop.
process.on("SIGINT", () => undefined);
process.on("SIGHUP", () => undefined);
// mpirun sends it when another rank is lost: the state after the last step is saved before this one ends by itself.
process.on("SIGTERM", () => setTimeout(() => endProcess(143), 4000).unref());

try {
  const place = rankFromEnvironment(process.env);
  if (place === undefined) throw new Error("this process was not given a rank: set RANK and WORLD_SIZE");
  const start = rankStart({
    place,
    threads: threadsFromEnvironment(process.env),
    point: meetingPoint("env://", process.env),
    secret: secretFrom(process.env),
    patienceMs: 60_000,
  });
  await startRank(start).done;
  process.exit(0);
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exit(1);
}
