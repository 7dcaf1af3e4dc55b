// npm run bench -- NAME [options] [--json]: one benchmark of the compiled dist/. Without a name: the list.
import { pathToFileURL } from "node:url";
import { parseArgs } from "node:util";

/** An entry is a row; its module exports `options` (for parseArgs) and `run(values, print)`, which returns the figures. */
const benchmarks = {
  "train-step": {
    summary: "one training step of resnet9 and mobilenet_v2 on the CPU, interleaved with PyTorch",
    load: () => import("./train-step/benchmark.mjs"),
  },
};

const shared = { json: { type: "boolean", description: "the last line is one JSON object with the figures" } };

async function main(argv) {
  const [name, ...rest] = argv;
  if (name === undefined || name === "--help") {
    console.log("npm run bench -- NAME [options]\n");
    for (const [key, { summary }] of Object.entries(benchmarks)) console.log(`  ${key.padEnd(14)} ${summary}`);
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
