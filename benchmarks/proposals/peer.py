"""Optuna's proposals when asked: one line {sampler, finished, steps} in, one line {ms} out."""

import json
import random
import sys
import time

import optuna
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

optuna.logging.set_verbosity(optuna.logging.ERROR)
SPACE = {
    "optimizer": CategoricalDistribution(["sgd", "adamw", "muon"]),
    "learning_rate": FloatDistribution(1e-5, 1, log=True),
    "weight_decay": FloatDistribution(1e-6, 1e-1, log=True),
    "label_smoothing": FloatDistribution(0, 0.3),
    "width": IntDistribution(1, 64, log=True),
    "depth": IntDistribution(1, 10),
}
SAMPLERS = {
    "tpe": lambda: optuna.samplers.TPESampler(seed=1, multivariate=True),
    "random": lambda: optuna.samplers.RandomSampler(seed=1),
    "quasi_random": lambda: optuna.samplers.QMCSampler(seed=1, scramble=True, warn_independent_sampling=False),
}
random.seed(1)
studies = {}


def study_of(name, count):
    if (name, count) not in studies:
        before = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=2))
        for _ in range(count):
            before.tell(before.ask(SPACE), random.random())
        study = optuna.create_study(sampler=SAMPLERS[name]())
        study.add_trials(before.trials)
        studies[(name, count)] = study
    return studies[(name, count)]


def propose(study):
    start = time.perf_counter()
    trial = study.ask(SPACE)
    ms = (time.perf_counter() - start) * 1e3
    study.tell(trial, random.random())
    return ms


def answer(value):
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


answer({"optuna": optuna.__version__})
for line in sys.stdin:
    question = json.loads(line)
    study = study_of(question["sampler"], question["finished"])
    answer({"ms": [propose(study) for _ in range(question["steps"])], "loss": 0})
