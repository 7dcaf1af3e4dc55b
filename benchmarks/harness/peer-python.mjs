import { spawnSync } from "node:child_process";

/** The Python that has PyTorch: the one given, else BENCH_PYTHON, else python3; with the versions in it. */
export function peerPython(given) {
  const python = given ?? process.env.BENCH_PYTHON ?? "python3";
  const script =
    "import json, platform, torch, torchvision; print(json.dumps({'python': platform.python_version(), 'torch': torch.__version__, 'torchvision': torchvision.__version__}))";
  const { status, stdout, stderr, error } = spawnSync(python, ["-c", script], { encoding: "utf8", timeout: 120_000 });
  if (status === 0) return { python, versions: JSON.parse(stdout) };
  const why = error?.message ?? stderr.trim().split("\n").at(-1);
  throw new Error(
    `${python} has no PyTorch to compare with (${why}): python3 -m venv torchenv && torchenv/bin/pip install torch torchvision, then BENCH_PYTHON=torchenv/bin/python`,
  );
}

/** @throws Error naming the option unless its text is a whole number above 0 */
export function wholeNumber(name, text) {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1) throw new Error(`--${name}: ${text} is no whole number above 0`);
  return value;
}
