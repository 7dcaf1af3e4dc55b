"""tests/goldens/drift.json: two-sample statistics by scipy and numpy.

python3 -m venv statsenv && statsenv/bin/pip install scipy==1.17.1 numpy==2.4.6
statsenv/bin/python scripts/goldens/drift.py
"""

import json
import os

import numpy as np
import scipy
from scipy import special, stats

rng = np.random.default_rng(20261125)
out = {"scipy": scipy.__version__, "numpy": np.__version__, "gamma": [], "ks": [], "mmd": [], "psi": []}

for a in [0.5, 1, 3.7, 25, 180]:
    for x in [0.01, 0.5, 2, 20, 150, 250]:
        out["gamma"].append({"a": a, "x": x, "q": float(special.gammaincc(a, x)), "logGamma": float(special.gammaln(a))})

for n, m, shift in [(60, 80, 0), (60, 80, 0.3), (200, 150, 0.25), (500, 500, 0.08), (500, 1000, 0.15), (300, 300, 1)]:
    a, b = rng.normal(size=n), rng.normal(size=m) + shift
    exact = stats.ks_2samp(a, b, method="exact")
    out["ks"].append({"a": a.round(6).tolist(), "b": b.round(6).tolist(), "statistic": float(exact.statistic), "p": float(exact.pvalue)})

# Vectors as they come out of a kernel's features; the oracle is a permutation test.
for n, m, shift in [(120, 100, 0), (120, 100, 0.12), (200, 100, 0.18), (100, 100, 0)]:
    size = 12
    mix = rng.normal(size=(size, size)) / np.sqrt(size)
    x, y = rng.normal(size=(n, size)) @ mix, rng.normal(size=(m, size)) @ mix + shift
    score = float(((x.mean(0) - y.mean(0)) ** 2).sum())
    both = np.concatenate([x, y])
    hits, rounds = 0, 20000
    for _ in range(rounds):
        order = rng.permutation(n + m)
        d = both[order[:n]].mean(0) - both[order[n:]].mean(0)
        hits += (d**2).sum() >= score
    cov = np.cov(x.T)
    out["mmd"].append({
        "x": x.round(6).tolist(), "y": y.round(6).tolist(), "score": score, "permutation": hits / rounds,
        "trace": float(np.trace(cov)), "traceSquare": float((cov * cov).sum()),
    })

for expected, observed in [([50, 30, 20], [20, 30, 50]), ([500, 300, 200, 10], [55, 28, 17, 0])]:
    p, q = (np.maximum(v, 0.5) / np.maximum(v, 0.5).sum() for v in (np.array(observed, float), np.array(expected, float)))
    out["psi"].append({"expected": expected, "observed": observed, "psi": float(special.rel_entr(p, q).sum() + special.rel_entr(q, p).sum())})

path = os.path.join(os.path.dirname(__file__), "../../tests/goldens/drift.json")
with open(path, "w") as file:
    json.dump(out, file, separators=(",", ":"))
