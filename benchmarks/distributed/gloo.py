"""All-reduce of torch.distributed with gloo, in as many processes as asked for. Argument: JSON {worldSize, sizes, repeats}."""
import json
import socket
import sys
import time

import torch
import torch.distributed as dist
import torch.multiprocessing as mp


def member(rank, plan, port, results):
    torch.set_num_threads(1)
    world = plan["worldSize"]
    dist.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=world)
    times = {}
    for mb in plan["sizes"]:
        data = torch.empty(mb * 2**18)
        times[mb] = []
        for i in range(-2, plan["repeats"]):
            data.fill_(1)
            dist.barrier()
            began = time.perf_counter()
            dist.all_reduce(data)
            if i >= 0:
                times[mb].append(1000 * (time.perf_counter() - began))
        assert data[0] == world and data[-1] == world
    if rank == 0:
        results.put(times)
    dist.barrier()
    dist.destroy_process_group()


if __name__ == "__main__":
    plan = json.loads(sys.argv[1])
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    results = mp.get_context("spawn").SimpleQueue()
    context = mp.spawn(member, args=(plan, port, results), nprocs=plan["worldSize"], join=False)
    times = results.get()
    context.join()
    print(json.dumps({"times": times, "description": f"torch {torch.__version__} gloo"}))
