"""Golden decisions of Ray Tune's ASHAScheduler on recorded curves of validation accuracy.

Versions: Python 3.11, ray[tune] 2.60.0.
Run from the repository's root: python scripts/goldens/ray_asha.py CURVES.json -> tests/goldens/ray-asha.json
CURVES.json: {"source": ..., "curves": [[value of each epoch], ...]}; all of one length.
"""

import json
import platform
import random
import sys
from types import SimpleNamespace

import ray
from ray.tune.schedulers import ASHAScheduler, TrialScheduler

RUNNING = 4
recorded = json.load(open(sys.argv[1]))
curves = recorded["curves"]
steps = len(curves[0])


def decisions(mode, grace, factor, seed):
    """Which trial of the running ones reports next is drawn; a trial that ends makes room for the next."""
    rng = random.Random(seed)
    scheduler = ASHAScheduler(time_attr="step", max_t=steps, grace_period=grace, reduction_factor=factor)
    scheduler.set_search_properties("value", mode)
    trials = [SimpleNamespace(trial_id=str(i), config={}) for i in range(len(curves))]
    waiting, running, done, log = list(range(len(curves))), [], {}, []
    while waiting or running:
        while waiting and len(running) < RUNNING:
            running.append(waiting.pop(0))
            scheduler.on_trial_add(None, trials[running[-1]])
        trial = rng.choice(running)
        step = done.get(trial, 0) + 1
        done[trial] = step
        value = curves[trial][step - 1] if mode == "max" else -curves[trial][step - 1]
        result = {"step": step, "value": value, "training_iteration": step}
        if step == steps:
            scheduler.on_trial_complete(None, trials[trial], result)
            running.remove(trial)
            continue
        stops = scheduler.on_trial_result(None, trials[trial], result) == TrialScheduler.STOP
        log.append([trial, step, int(stops)])
        if stops:
            running.remove(trial)
    return {"mode": mode, "gracePeriod": grace, "reductionFactor": factor, "decisions": log}


cases = [
    decisions(mode, grace, factor, seed)
    for seed, (mode, grace, factor) in enumerate((m, g, f) for m in ("max", "min") for g in (1, 2) for f in (2, 3, 4))
]
print(platform.python_version(), ray.__version__, [sum(d[2] for d in case["decisions"]) for case in cases])
with open("tests/goldens/ray-asha.json", "w") as file:
    json.dump({"versions": {"ray": ray.__version__}, **recorded, "cases": cases}, file, separators=(",", ":"))
    file.write("\n")
