"""The peer of benchmarks/frozen-backbone: the same work in PyTorch, eager or compiled.

Asked by lines on its standard input ({"steps": k}), it answers with one line of JSON each.
"""

import argparse
import json
import pathlib
import sys
import time

import torch
import torchvision
from torch.nn import functional as F

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "harness"))
from heads import adamw, head  # noqa: E402


def extraction(net, args, layout):
    """From bytes of 32x32 to features, in eval mode and without gradients."""
    net = net.to(memory_format=layout).eval()
    images = torch.randint(0, 256, (args.batch, 3, 32, 32), dtype=torch.uint8)
    mean = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)
    std = torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)
    scale, bias = 1 / (255 * std), -mean / std
    features = torch.compile(net.features) if args.compile else net.features

    def step():
        with torch.no_grad():
            x = F.interpolate(images.float(), size=(args.size, args.size), mode="bilinear")
            x = features((x * scale + bias).contiguous(memory_format=layout)).mean((2, 3))
            return x[-1, -1].item()

    return sum(p.numel() for p in net.features.parameters()), step


def training(net, args, layout):
    """A step of the head on features in memory."""
    with torch.no_grad():
        _, channels, height, width = net.eval().features(torch.zeros(1, 3, args.size, args.size)).shape
    maps = args.stage == "RCBAM"
    trained = head(args.stage, channels, args.channels or channels, 10, 0.2).to(memory_format=layout).train()
    features = torch.rand(args.rows, channels, height, width) if maps else torch.rand(args.rows, channels)
    if maps:
        features = features.contiguous(memory_format=layout)
    labels = torch.arange(args.rows) % 10
    forward = torch.compile(trained) if args.compile else trained
    optimiser = adamw(trained, 1e-3, 1e-2)
    order = []

    def step():
        nonlocal order
        if len(order) < args.batch:
            order = torch.randperm(args.rows).tolist()
        rows, order = torch.tensor(order[: args.batch]), order[args.batch :]
        loss = F.cross_entropy(forward(features[rows]), labels[rows], label_smoothing=0.1)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        return loss.item()

    return sum(p.numel() for p in trained.parameters()), step


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--stage", choices=["features", "classifier_only", "RCBAM"], required=True)
    options.add_argument("--network", required=True)
    options.add_argument("--batch", type=int, required=True)
    options.add_argument("--size", type=int, required=True)
    options.add_argument("--rows", type=int, required=True)
    options.add_argument("--channels", type=int)
    options.add_argument("--threads", type=int, required=True)
    options.add_argument("--layout", choices=["nchw", "channels_last"], required=True)
    options.add_argument("--compile", action="store_true")
    args = options.parse_args()
    torch.manual_seed(1)
    torch.set_num_threads(args.threads)
    layout = torch.channels_last if args.layout == "channels_last" else torch.contiguous_format
    net = getattr(torchvision.models, args.network)()
    parameters, step = (extraction if args.stage == "features" else training)(net, args, layout)

    def answer(value):
        sys.stdout.write(json.dumps(value) + "\n")
        sys.stdout.flush()

    step()
    step()
    answer({"parameters": parameters, "torch": torch.__version__})
    for line in sys.stdin:
        times, loss = [], None
        for _ in range(json.loads(line)["steps"]):
            start = time.perf_counter()
            loss = step()
            times.append((time.perf_counter() - start) * 1e3)
        answer({"ms": times, "loss": loss})


main()
