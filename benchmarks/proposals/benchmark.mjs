// What the search itself costs: a proposal of each sampler after so many finished trials, interleaved with Optuna's.
import { cpus, loadavg } from "node:os";
import { fileURLToPath } from "node:url";
import { Contestant } from "../harness/contestant.mjs";
import { interleave } from "../harness/interleave.mjs";
import { wholeNumber } from "../harness/peer-python.mjs";
import { geometricMean, summarise } from "../harness/statistics.mjs";

export const options = {
  finished: { type: "string", default: "100,1000", description: "finished trials, separated by commas" },
  rounds: { type: "string", default: "5", description: "turns of each side" },
  steps: { type: "string", default: "20", description: "proposals of a turn" },
  python: { type: "string", description: "a Python with optuna and scipy; else BENCH_PYTHON, else python3" },
};

const samplers = ["tpe", "random", "quasi_random"];
const here = (file) => fileURLToPath(new URL(file, import.meta.url));

export async function run(values, print) {
  const [rounds, steps] = [wholeNumber("rounds", values.rounds), wholeNumber("steps", values.steps)];
  const counts = values.finished.split(",").map((text) => wholeNumber("finished", text));
  const python = values.python ?? process.env.BENCH_PYTHON ?? "python3";
  const ours = new Contestant("ours", process.execPath, [here("ours.mjs")]);
  const peer = new Contestant("optuna", python, [here("peer.py")]);
  try {
    const versions = { ...(await ours.ready()), ...(await peer.ready()) };
    const load = loadavg()[0];
    print(`${cpus()[0]?.model ?? "unknown"}, load ${load.toFixed(2)} at the start`);
    print(`node ${versions.node}, optuna ${versions.optuna} in memory; medians; six parameters`);
    const cases = [];
    for (const finished of counts) {
      for (const sampler of samplers) {
        const turns = [ours, peer].map((contestant) => ({
          name: contestant.name,
          // Neither computes anything while it waits for its turn.
          cpuSeconds: () => null,
          ask: (question) => contestant.ask({ ...question, sampler, finished }),
        }));
        await interleave(turns, { rounds: 3, steps: 5, budgetMs: 0 });
        const { times } = await interleave(turns, { rounds, steps, budgetMs: 60_000 });
        const [mine, theirs] = times.map((each) => summarise(each.flat()));
        const ratio = theirs.median / mine.median;
        cases.push({ sampler, finished, ours: mine, optuna: theirs, ratio });
        print(
          `${sampler.padEnd(12)} after ${String(finished).padStart(5)} trials: ${perSecond(mine)} a second, Optuna ${perSecond(theirs)}, ratio ${ratio.toFixed(2)}`,
        );
      }
    }
    return { versions, load, rounds, steps, cases, ratio: geometricMean(cases.map((each) => each.ratio)) };
  } finally {
    await Promise.all([ours.close(), peer.close()]);
  }
}

const perSecond = ({ median }) => Math.round(1000 / median).toLocaleString("en");
