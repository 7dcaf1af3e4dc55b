// The two tracking servers that are compared, each with an SQLite file of its own below `root`.
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { wholeNumber } from "../harness/peer-python.mjs";
import { startServer } from "../harness/server-process.mjs";

const cifar = fileURLToPath(new URL("../../bin/cifar.mjs", import.meta.url));

export const peerOptions = {
  python: { type: "string", description: "Python with mlflow (MLFLOW_PYTHON, python3)" },
  workers: { type: "string", description: "worker processes of mlflow server (its default)" },
};

/** Each round begins with the other one. */
export async function inTurn(apis, round, measure) {
  for (let turn = 0; turn < apis.length; turn++) {
    const index = (round + turn) % apis.length;
    await measure(apis[index], index);
  }
}

export function startOurs(root) {
  const store = join(root, "ours", "tracking.sqlite");
  return startServer("ours", process.execPath, [cifar, "track", "--store", store, "--port"], {
    cwd: root,
  });
}

export async function startPeer(values, root) {
  const python = values.python ?? process.env.MLFLOW_PYTHON ?? "python3";
  const remedy = "pip install mlflow, then MLFLOW_PYTHON=…/bin/python";
  const asked = spawnSync(python, ["-c", "import mlflow.version; print(mlflow.version.VERSION)"], { encoding: "utf8" });
  if (asked.status !== 0) throw new Error(`${python} has no mlflow to compare with: ${remedy}`);
  const args = [
    ...["-m", "mlflow", "server", "--host", "127.0.0.1"],
    ...["--backend-store-uri", `sqlite:///${join(root, "mlflow.db")}`],
    ...["--artifacts-destination", join(root, "artifacts")],
    ...(values.workers === undefined ? [] : ["--workers", String(wholeNumber("workers", values.workers))]),
    "--port",
  ];
  const env = { ...process.env, MLFLOW_DISABLE_TELEMETRY: "true", DO_NOT_TRACK: "true" };
  const server = await startServer("mlflow server", python, args, { cwd: root, env, group: true });
  return { ...server, version: asked.stdout.trim().split("\n").at(-1) };
}
