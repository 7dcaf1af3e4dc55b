"""All-reduce of MPI itself, by mpi4py. Started by mpirun in each process; argument: JSON {worldSize, sizes, repeats}."""
import json
import sys
import time

import numpy as np
from mpi4py import MPI

plan = json.loads(sys.argv[1])
world = MPI.COMM_WORLD
times = {}
for mb in plan["sizes"]:
    data = np.empty(mb * 2**18, dtype=np.float32)
    times[mb] = []
    for i in range(-2, plan["repeats"]):
        data.fill(1)
        world.Barrier()
        began = time.perf_counter()
        world.Allreduce(MPI.IN_PLACE, data, op=MPI.SUM)
        if i >= 0:
            times[mb].append(1000 * (time.perf_counter() - began))
    assert data[0] == world.size and data[-1] == world.size
if world.rank == 0:
    print(json.dumps({"times": times, "description": MPI.Get_library_version().split(",")[0]}))
