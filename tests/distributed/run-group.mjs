// Runs the members of one group of the conformance suite and prints what they report as one line of JSON.
// Argument: JSON {transport, algorithm, mpirun?, worldSize, ending, heartbeatTimeoutMs, callTimeoutMs}.
import { fileURLToPath } from "node:url";
import { startCoordinator } from "../../dist/distributed/control/coordinator.js";
import { localLauncher } from "../../dist/distributed/launchers/local.js";
import { mpirunLauncher } from "../../dist/distributed/launchers/mpirun.js";

const plan = JSON.parse(process.argv[2]);
const { transport, algorithm, mpirun, worldSize, ending, heartbeatTimeoutMs, callTimeoutMs } = plan;
const secret = "a secret of this test suite";
const reports = Array.from({ length: worldSize }, () => ({}));
const losses = [];
let leftAt;
let finish;
const finished = new Promise((resolve) => {
  finish = resolve;
});
const survivors = ending === "none" ? worldSize : worldSize - 1;
let [passed, done] = [0, 0];
const coordinator = await startCoordinator({
  host: "127.0.0.1",
  port: 0,
  secret,
  worldSize,
  transport,
  algorithm,
  heartbeatTimeoutMs,
  callTimeoutMs,
  rejoinTimeoutMs: 20_000,
  task: () => ({ ending }),
  onReport(rank, { name, value }) {
    reports[rank][name] = value;
    // All are through what comes before: nobody's failure can reach into it.
    if (name === "barrier waits" && ++passed === worldSize) coordinator.stop();
    if (name === "left") leftAt = performance.now();
    if (name === "done" && ++done === survivors) finish("members");
  },
  onLost({ rank }, reason) {
    losses.push({ rank, reason, seconds: leftAt === undefined ? null : (performance.now() - leftAt) / 1000 });
  },
  onGroup() {},
  onFailure: (error) => finish(error.message),
});
const launcher = transport === "mpi" ? mpirunLauncher({ mpirun }) : localLauncher;
const job = await launcher({
  worldSize,
  command: [process.execPath, fileURLToPath(new URL("member.mjs", import.meta.url)), ending],
  env: { MASTER_ADDR: "127.0.0.1", MASTER_PORT: `${coordinator.port}`, CIFAR_DISTRIBUTED_SECRET: secret },
  maxRestarts: 0,
  onRestart() {},
  onFailure(message) {
    const seconds = leftAt === undefined ? null : (performance.now() - leftAt) / 1000;
    losses.push({ reason: message, seconds });
    if (transport === "mpi") finish(message);
  },
});
const end = await finished;
coordinator.end();
if (ending === "none") await job.finish();
await job[Symbol.asyncDispose]();
await coordinator[Symbol.asyncDispose]();
process.stdout.write(`${JSON.stringify({ end, reports, losses })}\n`);
