"""Golden points of PyTorch's Sobol sequence with the direction numbers of Joe and Kuo, unscrambled.

Versions: Python 3.11, torch 2.15.
Run from the repository's root: python scripts/goldens/sobol.py -> tests/goldens/sobol.json
"""

import json
import platform

import torch

DIMENSIONS, COUNT, SKIPPED = 64, 16, 5000
first = torch.quasirandom.SobolEngine(DIMENSIONS).draw(COUNT, dtype=torch.float64)
later = torch.quasirandom.SobolEngine(DIMENSIONS).fast_forward(SKIPPED).draw(COUNT, dtype=torch.float64)
print(platform.python_version(), torch.__version__)
with open("tests/goldens/sobol.json", "w") as file:
    # Multiples of 2^-30, all exact.
    rows = [{"from": start, "points": (points * 2**30).long().tolist()} for start, points in ((0, first), (SKIPPED, later))]
    json.dump({"bits": 30, "rows": rows}, file, separators=(",", ":"))
    file.write("\n")
