// npm run bench -- NAME [options] [--json]: one benchmark of the compiled dist/. Without a name: the list.
import { pathToFileURL } from "node:url";
import { parseArgs } from "node:util";

/** An entry is a row; its module exports `options` (for parseArgs) and `run(values, print)`, which returns the figures. */
const benchmarks = {
  augmentation: {
    summary: "each augmentation's share of a training step and of a frozen forward pass, and torchvision's time",
    load: () => import("./augmentation/benchmark.mjs"),
  },
  "train-step": {
    summary: "one training step of a network on the CPU, interleaved with PyTorch",
    load: () => import("./train-step/benchmark.mjs"),
  },
  "from-scratch": {
    summary: "the families' defaults trained on CIFAR-10 for a few epochs, beside the same recipe in PyTorch",
    load: () => import("./from-scratch/benchmark.mjs"),
  },
  "frozen-backbone": {
    summary: "features of a frozen mobilenet_v3_large at 224 and heads on them, interleaved with PyTorch",
    load: () => import("./frozen-backbone/benchmark.mjs"),
  },
  transfer: {
    summary: "real weights of mobilenet_v2 transferred to CIFAR-10: accuracy and time beside PyTorch's",
    load: () => import("./transfer/benchmark.mjs"),
  },
  tuning: {
    summary: "sweeps on CIFAR-10: successive halving with TPE against random search at equal compute",
    load: () => import("./tuning/benchmark.mjs"),
  },
  proposals: {
    summary: "what a proposal of each sampler costs after many trials, interleaved with Optuna",
    load: () => import("./proposals/benchmark.mjs"),
  },
  monitoring: {
    summary: "a scrape of 10,000 series, interleaved with prometheus_client; throughput with and without monitoring",
    load: () => import("./monitoring/benchmark.mjs"),
  },
  serving: {
    summary: "requests a second and latencies of the server, interleaved with FastAPI and PyTorch",
    load: () => import("./serving/benchmark.mjs"),
  },
  soak: {
    summary: "the server at 80 % load with a mix of requests and hot reloads: failures, memory, handles, latencies",
    load: () => import("./serving/soak.mjs"),
  },
  tracking: {
    summary: "log-batch, search and history of the tracking server, interleaved with mlflow server on SQLite",
    load: () => import("./tracking/benchmark.mjs"),
  },
  "tracking-page": {
    summary: "the tracking page on 10,000 runs in Chromium: first row, filter, memory, interleaved with MLflow's",
    load: () => import("./tracking/page.mjs"),
  },
  distributed: {
    summary: "all-reduce over TCP and MPI against torch's gloo, and what a step costs more on two ranks",
    load: () => import("./distributed/benchmark.mjs"),
  },
};

const shared = { json: { type: "boolean", description: "the last line is one JSON object with the figures" } };

async function main(argv) {
  const [name, ...rest] = argv;
  if (name === undefined || name === "--help") {
    console.log("npm run bench -- NAME [options]\n");
    for (const [key, { summary }] of Object.entries(benchmarks)) console.log(`  ${key.padEnd(16)} ${summary}`);
    return 0;
  }
  if (!Object.hasOwn(benchmarks, name)) {
    console.error(`error: no benchmark ${name}; there are: ${Object.keys(benchmarks).join(", ")}`);
    return 2;
  }
  const { options, run } = await benchmarks[name].load();
  const known = { ...options, ...shared, help: { type: "boolean", description: "this list" } };
  let values;
  try {
    ({ values } = parseArgs({ args: rest, options: known }));
  } catch (error) {
    console.error(`error: ${error.message}`);
    return 2;
  }
  if (values.help) {
    for (const [key, { type, default: usual, description }] of Object.entries(known)) {
      const usually = usual === undefined ? "" : ` (${usual})`;
      console.log(`  --${`${key}${type === "string" ? " VALUE" : ""}`.padEnd(18)} ${description}${usually}`);
    }
    return 0;
  }
  try {
    const figures = await run(values, (line) => console.log(line));
    if (values.json) console.log(JSON.stringify({ benchmark: name, ...figures }));
    return 0;
  } catch (error) {
    console.error(`error: ${error.message}`);
    return 1;
  }
}

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) {
  process.exitCode = await main(process.argv.slice(2));
}
