import { execFileSync, spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { freePort } from "../tracking/postgresql.ts";

/** Why the suites of this folder are skipped, and what to do about it. */
export const mlflowMissing =
  "MLflow is not installed (pip install mlflow onnx onnxruntime psutil, and MLFLOW_PYTHON=…/bin/python)";

/** A Python that has mlflow: MLFLOW_PYTHON, or python3; undefined where there is none. */
export function findMlflowPython(): string | undefined {
  for (const python of [process.env.MLFLOW_PYTHON, "python3"]) {
    if (python === undefined || python === "") continue;
    try {
      execFileSync(python, ["-c", "import importlib.util as u, sys; sys.exit(u.find_spec('mlflow.server') is None)"], {
        stdio: "ignore",
      });
      return python;
    } catch {
      // Not there, or without mlflow: the next one.
    }
  }
  return undefined;
}

/** Nothing is reported anywhere, and nothing is slower than it needs to be. */
export const mlflowEnv = {
  ...process.env,
  MLFLOW_DISABLE_TELEMETRY: "true",
  DO_NOT_TRACK: "true",
  GIT_PYTHON_REFRESH: "quiet",
  // Eight more processes, for jobs that nothing here asks for.
  MLFLOW_SERVER_ENABLE_JOB_EXECUTION: "false",
};

export interface MlflowServer extends AsyncDisposable {
  readonly url: string;
}

/** MLflow's own server over SQLite in a temporary folder. */
export async function startMlflowServer(python: string): Promise<MlflowServer> {
  const folder = mkdtempSync(join(tmpdir(), "cifar-mlflow-"));
  const port = await freePort();
  const child = spawn(
    python,
    [
      ...["-m", "mlflow", "server", "--host", "127.0.0.1", "--port", String(port), "--workers", "1"],
      ...["--backend-store-uri", `sqlite:///${join(folder, "mlflow.db")}`],
      ...["--artifacts-destination", join(folder, "artifacts")],
    ],
    // A process group of its own: the server has children, all of which end with it.
    { cwd: folder, stdio: "ignore", env: mlflowEnv, detached: true },
  );
  const ended = new Promise<void>((resolve) => child.once("exit", () => resolve()));
  const url = `http://127.0.0.1:${port}`;
  for (let attempt = 0; ; attempt++) {
    const up = await fetch(`${url}/health`).then(
      ({ ok }) => ok,
      () => false,
    );
    if (up) break;
    if (attempt > 600 || child.exitCode !== null) throw new Error("mlflow server did not start");
    await sleep(200);
  }
  return {
    url,
    [Symbol.asyncDispose]: async () => {
      if (child.pid !== undefined) process.kill(-child.pid, "SIGTERM");
      const late = setTimeout(() => child.pid !== undefined && process.kill(-child.pid, "SIGKILL"), 10_000);
      await ended;
      clearTimeout(late);
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
