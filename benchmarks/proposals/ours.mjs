// Proposes when asked: one line {sampler, finished, steps} in, one line {ms} out.
import { createInterface } from "node:readline";
import { createRng } from "../../dist/base/rng.js";
import { quasiRandomSampler } from "../../dist/tuning/samplers/quasi-random.js";
import { randomSampler } from "../../dist/tuning/samplers/random.js";
import { tpeSampler } from "../../dist/tuning/samplers/tpe.js";
import { choice, createSpace, integer, logUniform, uniform } from "../../dist/tuning/space.js";

// As in peer.py.
const space = createSpace({
  optimizer: choice(["sgd", "adamw", "muon"]),
  learning_rate: logUniform(1e-5, 1),
  weight_decay: logUniform(1e-6, 1e-1),
  label_smoothing: uniform(0, 0.3),
  width: integer(1, 64, "log"),
  depth: integer(1, 10),
});
const samplers = {
  tpe: () => tpeSampler(),
  random: () => randomSampler,
  quasi_random: () => quasiRandomSampler({ seed: 1 }),
};
const rng = createRng("proposals");
const finished = (number, params) => ({
  number,
  params,
  status: "complete",
  reports: [{ step: 1, value: rng.uniform() }],
});

const studies = new Map();
function studyOf(name, count) {
  const key = `${name} ${count}`;
  if (!studies.has(key)) {
    const trials = [];
    while (trials.length < count) {
      const params = randomSampler.sample({ space, trials, direction: "minimize", rng });
      trials.push(finished(trials.length, params));
    }
    studies.set(key, { sampler: samplers[name](), trials });
  }
  return studies.get(key);
}

function propose({ sampler, trials }) {
  const began = performance.now();
  const params = sampler.sample({ space, trials, direction: "minimize", rng });
  const ms = performance.now() - began;
  trials.push(finished(trials.length, params));
  return ms;
}

const answer = (value) => process.stdout.write(`${JSON.stringify(value)}\n`);

answer({ node: process.versions.node });
for await (const line of createInterface({ input: process.stdin })) {
  const { sampler, finished: count, steps } = JSON.parse(line);
  const study = studyOf(sampler, count);
  answer({ ms: Array.from({ length: steps }, () => propose(study)), loss: 0 });
}
