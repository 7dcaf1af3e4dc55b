"""Golden behaviour of Optuna: densities, splits and decisions exactly, results on standard functions as statistics.

Versions: Python 3.11, optuna 5.0.0, numpy, scipy 1.17.1, scikit-learn (see the header of the written file).
Run from the repository's root: python scripts/goldens/optuna_goldens.py  ->  tests/goldens/optuna.json
"""

import json
import math
import platform
import sys
import warnings

import numpy as np
import optuna
import sklearn
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.importance import FanovaImportanceEvaluator
from optuna.samplers._tpe.parzen_estimator import _ParzenEstimator, _ParzenEstimatorParameters
from optuna.samplers._tpe.sampler import _split_trials, default_gamma, default_weights
from optuna.trial import TrialState, create_trial

warnings.filterwarnings("ignore")
optuna.logging.set_verbosity(optuna.logging.ERROR)
SEEDS = int(sys.argv[1]) if len(sys.argv) > 1 else 120
MARKS = [25, 50, 100]


def rosenbrock(trial):
    x = [trial.suggest_float(f"x{i}", -2, 2) for i in range(4)]
    return sum(100 * (x[i + 1] - x[i] ** 2) ** 2 + (1 - x[i]) ** 2 for i in range(3))


def branin(trial):
    x, y = trial.suggest_float("x", -5, 10), trial.suggest_float("y", 0, 15)
    return (y - 5.1 / (4 * math.pi**2) * x**2 + 5 / math.pi * x - 6) ** 2 + 10 * (1 - 1 / (8 * math.pi)) * math.cos(x) + 10


ALPHA = [1.0, 1.2, 3.0, 3.2]
A = [[10, 3, 17, 3.5, 1.7, 8], [0.05, 10, 17, 0.1, 8, 14], [3, 3.5, 1.7, 10, 17, 8], [17, 8, 0.05, 10, 0.1, 14]]
P = [[1312, 1696, 5569, 124, 8283, 5886], [2329, 4135, 8307, 3736, 1004, 9991],
     [2348, 1451, 3522, 2883, 3047, 6650], [4047, 8828, 8732, 5743, 1091, 381]]


def hartmann6(trial):
    x = [trial.suggest_float(f"x{i}", 0, 1) for i in range(6)]
    return -sum(ALPHA[i] * math.exp(-sum(A[i][j] * (x[j] - P[i][j] * 1e-4) ** 2 for j in range(6))) for i in range(4))


def mixed(trial):
    """Like a training: learning rate on a log scale, batch sizes, a width, and a momentum that only one optimiser has."""
    optimizer = trial.suggest_categorical("optimizer", ["sgd", "adamw", "muon"])
    rate = trial.suggest_float("learning_rate", 1e-5, 1, log=True)
    width = trial.suggest_int("width", 1, 64, log=True)
    depth = trial.suggest_int("depth", 1, 10)
    best = {"sgd": -1, "adamw": -3, "muon": -1.5}[optimizer]
    loss = {"sgd": 0.05, "adamw": 0.1, "muon": 0.0}[optimizer]
    loss += 0.3 * (math.log10(rate) - best) ** 2 + 0.1 * (math.log2(width) - 5) ** 2 + 0.02 * (depth - 7) ** 2
    if optimizer == "sgd":
        loss += 2 * (trial.suggest_float("momentum", 0, 1) - 0.9) ** 2
    if optimizer == "muon":
        loss += 0.1 * abs(trial.suggest_int("newton_schulz_steps", 1, 8) - 3)
    return loss


FUNCTIONS = {"rosenbrock": rosenbrock, "branin": branin, "hartmann6": hartmann6, "mixed": mixed}


def statistics():
    out = {}
    for name, function in FUNCTIONS.items():
        for kind in ["tpe", "random"]:
            best = []
            for seed in range(SEEDS):
                sampler = (optuna.samplers.TPESampler(seed=seed, group=name == "mixed") if kind == "tpe"
                           else optuna.samplers.RandomSampler(seed=seed))
                study = optuna.create_study(sampler=sampler)
                study.optimize(function, n_trials=MARKS[-1])
                best.append(np.minimum.accumulate([t.value for t in study.trials])[[m - 1 for m in MARKS]])
            best = np.array(best)
            # The best value after each mark, of all seeds in order.
            out.setdefault(name, {})[kind] = [[float(f"{v:.7g}") for v in column] for column in np.sort(best, axis=0).T]
            print(name, kind, np.median(best, axis=0), flush=True)
    return out


def densities():
    rng = np.random.RandomState(7)
    space = {
        "a": FloatDistribution(-2.0, 3.0),
        "b": FloatDistribution(1e-4, 1e-1, log=True),
        "c": IntDistribution(1, 60),
        "d": IntDistribution(2, 128, log=True),
        "e": CategoricalDistribution(["x", "y", "z"]),
    }
    draw = lambda n: {
        "a": rng.uniform(-2, 3, n), "b": np.exp(rng.uniform(math.log(1e-4), math.log(1e-1), n)),
        # Distinct: which of two equal observations gets which width is left to the order of numpy's unstable sort.
        "c": (1 + rng.permutation(60)[:n]).astype(float), "d": (2 + rng.permutation(127)[:n]).astype(float),
        "e": rng.randint(0, 3, n).astype(float),
    }
    cases = []
    for count in [0, 1, 2, 12, 40]:
        observed, points = draw(count), draw(20)
        if count == 0:
            observed = {k: np.array([]) for k in observed}
        estimator = _ParzenEstimator(observed, space, _ParzenEstimatorParameters(
            prior_weight=1.0, consider_magic_clip=True, consider_endpoints=False, weights=default_weights, multivariate=True))
        cases.append({"observed": {k: v.tolist() for k, v in observed.items()}, "points": {k: v.tolist() for k, v in points.items()},
                      "logDensity": estimator.log_pdf(points).tolist()})
    return cases


def trials_with(rng, count):
    trials = []
    dist = {"x": FloatDistribution(0, 1)}
    for n in range(count):
        steps = {int(s): float(rng.uniform()) for s in range(1, 1 + rng.randint(1, 6))}
        state = [TrialState.COMPLETE, TrialState.PRUNED, TrialState.RUNNING][rng.choice(3, p=[0.3, 0.5, 0.2])]
        trials.append((state, steps, float(rng.uniform())))
    return trials, dist


def splits():
    rng = np.random.RandomState(11)
    cases = []
    for count in [5, 20, 60, 120]:
        for direction in ["minimize", "maximize"]:
            drawn, dist = trials_with(rng, count)
            study = optuna.create_study(direction=direction)
            for state, steps, x in drawn:
                value = {"value": (min if direction == "minimize" else max)(steps.values())} if state == TrialState.COMPLETE else {}
                # A pruned trial's score is its last value there and its best one here: give it one value only.
                steps = {max(steps): steps[max(steps)]} if state == TrialState.PRUNED else steps
                study.add_trial(create_trial(state=state, params={"x": x}, distributions=dist, intermediate_values=steps, **value))
            done = sum(t.state != TrialState.RUNNING for t in study.trials)
            below, above = _split_trials(study, study.trials, default_gamma(done))
            cases.append({"direction": direction, "below": [t.number for t in below], "above": [t.number for t in above],
                          "trials": [{"status": {"COMPLETE": "complete", "PRUNED": "pruned", "RUNNING": "running"}[t.state.name],
                                      "reports": [{"step": s, "value": v} for s, v in sorted(t.intermediate_values.items())]}
                                     for t in study.trials]})
    return cases


def median_decisions():
    rng = np.random.RandomState(13)
    cases = []
    for direction in ["minimize", "maximize"]:
        for startup, warmup in [(0, 0), (3, 2)]:
            study = optuna.create_study(direction=direction, sampler=optuna.samplers.RandomSampler(seed=1),
                                        pruner=optuna.pruners.MedianPruner(n_startup_trials=startup, n_warmup_steps=warmup))
            log = []
            for _ in range(25):
                trial, pruned, reports = study.ask(), False, []
                for step in range(1, 7):
                    value = float(rng.uniform())
                    trial.report(value, step)
                    pruned = trial.should_prune()
                    reports.append({"step": step, "value": value, "prune": bool(pruned)})
                    if pruned:
                        break
                study.tell(trial, None if pruned else reports[-1]["value"], TrialState.PRUNED if pruned else TrialState.COMPLETE)
                log.append(reports)
            cases.append({"direction": direction, "startupTrials": startup, "warmupSteps": warmup, "trials": log})
    return cases


def importances():
    rng = np.random.RandomState(17)
    study = optuna.create_study()
    dist = {"a": FloatDistribution(0, 1), "b": FloatDistribution(-4, 0), "c": IntDistribution(1, 8),
            "d": CategoricalDistribution(["u", "v", "w"]), "e": FloatDistribution(-1, 1)}
    rows = []
    for _ in range(150):
        p = {"a": float(rng.uniform()), "b": float(rng.uniform(-4, 0)), "c": int(rng.randint(1, 9)),
             "d": ["u", "v", "w"][rng.randint(3)], "e": float(rng.uniform(-1, 1))}
        value = 3 * (p["a"] - 0.3) ** 2 + 0.5 * (p["b"] + 2) ** 2 + 0.3 * (p["d"] == "v") + 0.03 * p["c"]
        study.add_trial(create_trial(params=p, distributions=dist, value=value))
        rows.append({"params": p, "value": value})
    shares = [optuna.importance.get_param_importances(study, evaluator=FanovaImportanceEvaluator(seed=s)) for s in range(5)]
    return {"trials": rows, "importance": {k: float(np.mean([s[k] for s in shares])) for k in dist}}


content = {
    "versions": {"python": platform.python_version(), "optuna": optuna.__version__, "numpy": np.__version__,
                 "scikit-learn": sklearn.__version__},
    "densities": densities(), "splits": splits(), "median": median_decisions(), "importances": importances(),
    "statistics": {"seeds": SEEDS, "marks": MARKS, "functions": statistics()},
}
with open("tests/goldens/optuna.json", "w") as file:
    json.dump(content, file, separators=(",", ":"))
    file.write("\n")
