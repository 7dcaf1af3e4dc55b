import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { largestLag, type Served, serveBundle } from "./served.ts";
import { writeTinyBundle } from "./tiny-bundle.ts";

let root: string;
let served: Served;
let infer: string;

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "hostile-json-"));
  const { directory, metadata } = await writeTinyBundle(root);
  served = await serveBundle(directory, { cwd: root, settings: ["monitoring.log_dir=logs"] });
  infer = `/v2/models/${metadata.name}/infer`;
  // The first request compiles code.
  const first = bodies["pixels of 16 images, nested"]!;
  await (await post(first.path(), first.make())).arrayBuffer();
});
afterAll(async () => {
  await served?.kill();
  await rm(root, { recursive: true, force: true });
});

const post = (path: string, body: string) =>
  fetch(`${served.url}${path}`, { method: "POST", body, headers: { "content-type": "application/json" } });
const input = (shape: readonly number[], data: string) =>
  `{"inputs": [{"name": "images", "shape": ${JSON.stringify(shape)}, "datatype": "UINT8", "data": ${data}}]}`;
const repeated = (text: string, count: number) => new Array<string>(count).fill(text).join();
const letters = "QUJD".repeat(2_500_000);

const bodies: Readonly<
  Record<string, { readonly path: () => string; readonly make: () => string; readonly status: number }>
> = {
  "pixels of 64 images": {
    path: () => infer,
    make: () => input([64, 3, 32, 32], `[${repeated("7", 64 * 3072)}]`),
    status: 200,
  },
  "pixels of 16 images, nested": {
    path: () => infer,
    make: () =>
      input(
        [16, 3, 32, 32],
        JSON.stringify(new Array(16).fill(new Array(3).fill(new Array(32).fill(new Array(32).fill(9))))),
      ),
    status: 200,
  },
  "pixels nested in another order": {
    path: () => infer,
    make: () =>
      input([16, 3, 32, 32], JSON.stringify(new Array(16).fill(new Array(32).fill(new Array(32).fill([1, 2, 3]))))),
    status: 400,
  },
  "twelve million pixels": {
    path: () => infer,
    make: () => input([64, 3, 32, 32], `[${repeated("0", 1.2e7)}]`),
    status: 400,
  },
  "six million fractions": {
    path: () => infer,
    make: () => input([64, 3, 32, 32], `[${repeated("0.5", 6e6)}]`),
    status: 400,
  },
  "two million keys": {
    path: () => infer,
    make: () => `{${Array.from({ length: 2e6 }, (_, i) => `"k${i}":1`).join()}}`,
    status: 400,
  },
  "deep nesting": { path: () => infer, make: () => `${"[".repeat(1e7)}${"]".repeat(1e7)}`, status: 400 },
  "half a body": { path: () => infer, make: () => input([1, 3, 32, 32], `[${repeated("1", 1e6)}`), status: 400 },
  "one string of 10 MB": { path: () => "/predict", make: () => JSON.stringify({ image: letters }), status: 415 },
  "four strings of 6 MB": {
    path: () => "/predict/batch",
    make: () => JSON.stringify({ images: new Array(4).fill(letters.slice(0, 6_000_000)) }),
    status: 415,
  },
  "six million short strings": {
    path: () => "/predict/batch",
    make: () => `{"images": [${repeated('"a"', 6e6)}]}`,
    status: 400,
  },
  "a string that is no base64": {
    path: () => "/predict",
    make: () => JSON.stringify({ image: `${letters}*` }),
    status: 400,
  },
  "a body over the limit": {
    path: () => "/predict",
    make: () => JSON.stringify({ image: letters.repeat(2) }),
    status: 413,
  },
};

describe("a stranger's JSON", () => {
  const lags: { readonly name: string; readonly ms: number }[] = [];

  it.each(Object.entries(bodies))("%s: an answer or a 4xx in words", async (name, { path, make, status }) => {
    const body = make();
    await largestLag(served.url);
    const response = await post(path(), body);
    const answer = await response.json();
    lags.push({ name, ms: await largestLag(served.url) });
    expect(response.status, JSON.stringify(answer).slice(0, 500)).toBe(status);
    if (status !== 200) expect(JSON.stringify(answer).length).toBeLessThan(2000);
  });

  // A report: how long they are depends on what else the machine does.
  afterAll(() => {
    const worst = lags.toSorted((a, b) => b.ms - a.ms).slice(0, 4);
    process.stdout.write(
      `largest lags of the event loop: ${worst.map(({ name, ms }) => `${ms.toFixed(1)} ms (${name})`).join(", ")}\n`,
    );
  });
});
