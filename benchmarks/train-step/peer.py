"""The peer of benchmarks/train-step: the same networks and the same step in PyTorch.

Asked by lines on its standard input ({"steps": k}), it answers with one line of JSON each.
"""

import argparse
import json
import sys
import time
from pathlib import Path

import torch
from torch.nn import functional as F

sys.path.append(str(Path(__file__).parent.parent / "peers"))
from networks import build  # noqa: E402


def optimiser(parameters):
    settings = {"lr": 0.01, "momentum": 0.9, "nesterov": True, "weight_decay": 5e-4}
    try:
        return torch.optim.SGD(parameters, fused=True, **settings), "fused"
    except (TypeError, RuntimeError):
        return torch.optim.SGD(parameters, **settings), "default"


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--network", required=True)
    options.add_argument("--batch", type=int, required=True)
    options.add_argument("--threads", type=int, required=True)
    options.add_argument("--layout", choices=["nchw", "channels_last"], required=True)
    options.add_argument("--compile", action="store_true")
    args = options.parse_args()
    torch.manual_seed(1)
    torch.set_num_threads(args.threads)
    layout = torch.channels_last if args.layout == "channels_last" else torch.contiguous_format

    net = build(args.network).to(memory_format=layout).train()
    parameters = sum(p.numel() for p in net.parameters())
    sgd, sgd_kind = optimiser(net.parameters())
    forward = torch.compile(net) if args.compile else net
    images = torch.randint(0, 256, (args.batch, 3, 32, 32), dtype=torch.uint8)
    labels = torch.arange(args.batch) % 10
    mean = torch.tensor([0.49, 0.48, 0.45]).view(1, 3, 1, 1)
    std = torch.tensor([0.247, 0.243, 0.262]).view(1, 3, 1, 1)
    scale, bias = 1 / (255 * std), -mean / std

    def step():
        x = (images.float() * scale + bias).contiguous(memory_format=layout)
        loss = F.cross_entropy(forward(x), labels, label_smoothing=0.1)
        sgd.zero_grad(set_to_none=True)
        loss.backward()
        sgd.step()
        return loss.item()

    def answer(value):
        sys.stdout.write(json.dumps(value) + "\n")
        sys.stdout.flush()

    step()
    step()
    answer({"parameters": parameters, "torch": torch.__version__, "sgd": sgd_kind})
    for line in sys.stdin:
        times, loss = [], None
        for _ in range(json.loads(line)["steps"]):
            start = time.perf_counter()
            loss = step()
            times.append((time.perf_counter() - start) * 1e3)
        answer({"ms": times, "loss": loss})


main()
