// Runs one group of the all-reduce benchmark and prints its times as JSON. Argument: JSON {transport, algorithm, mpirun, worldSize, sizes, repeats}.
import { randomBytes } from "node:crypto";
import { fileURLToPath } from "node:url";
import { startCoordinator } from "../../dist/distributed/control/coordinator.js";
import { localLauncher } from "../../dist/distributed/launchers/local.js";
import { mpirunLauncher } from "../../dist/distributed/launchers/mpirun.js";

const { transport, algorithm, mpirun, worldSize, sizes, repeats } = JSON.parse(process.argv[2]);
const secret = randomBytes(32).toString("hex");
let resolve;
let reject;
const result = new Promise((accept, refuse) => {
  [resolve, reject] = [accept, refuse];
});
const coordinator = await startCoordinator({
  host: "127.0.0.1",
  port: 0,
  secret,
  worldSize,
  transport,
  algorithm,
  heartbeatTimeoutMs: 20_000,
  callTimeoutMs: 60_000,
  rejoinTimeoutMs: 30_000,
  task: () => ({ sizes, repeats }),
  onReport: (_, report) => resolve(report),
  onLost: (_, reason) => reject(new Error(reason)),
  onGroup() {},
  onFailure: reject,
});
const job = await (transport === "mpi" ? mpirunLauncher({ mpirun }) : localLauncher)({
  worldSize,
  command: [process.execPath, fileURLToPath(new URL("member.mjs", import.meta.url))],
  env: { MASTER_ADDR: "127.0.0.1", MASTER_PORT: `${coordinator.port}`, CIFAR_DISTRIBUTED_SECRET: secret },
  maxRestarts: 0,
  onRestart() {},
  onFailure: (message) => reject(new Error(message)),
});
const report = await result;
coordinator.end();
await job.finish();
await coordinator[Symbol.asyncDispose]();
process.stdout.write(`${JSON.stringify(report)}\n`);
