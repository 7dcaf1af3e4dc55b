"""The peer of benchmarks/transfer: the same recipe in PyTorch, on the same images.

Its one line of output is a JSON object.
"""

import argparse
import json
import math
import pathlib
import sys
import time

import torch
import torchvision
from torch.nn import functional as F

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "harness"))
from heads import adamw, head  # noqa: E402


def split(folder, name):
    labels = torch.frombuffer(bytearray((folder / f"{name}-labels.bin").read_bytes()), dtype=torch.uint8)
    images = torch.frombuffer(bytearray((folder / f"{name}-images.bin").read_bytes()), dtype=torch.uint8)
    return images.view(-1, 3, 32, 32), labels.long()


def extract(net, images, maps, size):
    rows = []
    with torch.no_grad():
        for chunk in images.split(64):
            x = F.interpolate(chunk.float(), size=(size, size), mode="bilinear") / 127.5 - 1
            x = net(x.contiguous(memory_format=torch.channels_last))
            rows.append(x if maps else x.mean((2, 3)))
    return torch.cat(rows)


def main():
    args = json.loads(sys.argv[1])
    mode, recipe, epochs = args["mode"], args["recipe"], args["epochs"]
    torch.manual_seed(args["seed"])
    torch.set_num_threads(args["threads"])
    folder = pathlib.Path(args["folder"])
    (images, labels), (test_images, test_labels) = split(folder, "train"), split(folder, "test")

    since = time.perf_counter()
    whole = torchvision.models.mobilenet_v2()
    whole.load_state_dict(torch.load(args["weights"], weights_only=True))
    net = whole.features.eval().to(memory_format=torch.channels_last)
    maps = mode == "RCBAM"
    features, test_features = (extract(net, part, maps, args["size"]) for part in (images, test_images))
    extraction = time.perf_counter() - since

    since = time.perf_counter()
    trained = head(mode, 1280, args["channels"], 10, recipe["dropout"]).to(memory_format=torch.channels_last).train()
    optimiser = adamw(trained, recipe["learningRate"], recipe["weightDecay"])
    batch = recipe["batch"]
    steps = len(labels) // batch
    per_epoch, step = [], 0
    for _ in range(epochs):
        began, total = time.perf_counter(), 0.0
        order = torch.randperm(len(labels))
        for i in range(steps):
            rate = recipe["learningRate"] * 0.5 * (1 + math.cos(math.pi * step / (epochs * steps)))
            for group in optimiser.param_groups:
                group["lr"] = rate
            rows = order[i * batch : (i + 1) * batch]
            loss = F.cross_entropy(trained(features[rows]), labels[rows], label_smoothing=recipe["labelSmoothing"])
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()
            total += loss.item()
            step += 1
        per_epoch.append({"seconds": time.perf_counter() - began, "loss": total / steps})
    seconds = time.perf_counter() - since
    trained.eval()
    with torch.no_grad():
        right = sum(
            (trained(x).argmax(1) == y).sum().item()
            for x, y in zip(test_features.split(100), test_labels.split(100))
        )
    print(json.dumps({
        "parameters": sum(p.numel() for p in trained.parameters()),
        "accuracy": right / len(test_labels),
        "extraction": extraction,
        "head": seconds,
        "perEpoch": per_epoch,
    }))


main()
