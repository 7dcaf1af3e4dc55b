"""The peer of benchmarks/from-scratch: the same recipe in PyTorch. Prints one line of JSON an epoch."""

import argparse
import io
import json
import sys
import tarfile
import time
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F

sys.path.append(str(Path(__file__).parent.parent / "peers"))
from networks import build  # noqa: E402

PAD = 4


def records(source, names):
    """Images [N, 3, 32, 32] and labels of CIFAR-10's binary files, from an archive or a folder."""
    source, parts = Path(source), []
    if source.is_dir():
        parts = [next(source.rglob(name)).read_bytes() for name in names]
    else:
        with tarfile.open(source) as archive:
            members = {Path(m.name).name: m for m in archive.getmembers()}
            parts = [io.BytesIO(archive.extractfile(members[name]).read()).getvalue() for name in names]
    rows = np.concatenate([np.frombuffer(part, np.uint8).reshape(-1, 3073) for part in parts])
    return torch.from_numpy(rows[:, 1:].reshape(-1, 3, 32, 32).copy()), torch.from_numpy(rows[:, 0].astype(np.int64))


def augmented(x):
    """A random crop out of the image with its mirrored border, and a mirror for half of the images."""
    n = len(x)
    padded = F.pad(x, (PAD, PAD, PAD, PAD), mode="reflect")
    at = torch.randint(0, 2 * PAD + 1, (n, 2))
    crops = torch.stack([image[:, r : r + 32, c : c + 32] for image, (r, c) in zip(padded, at.tolist())])
    return torch.where((torch.rand(n) < 0.5).view(-1, 1, 1, 1), crops.flip(3), crops)


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--network", required=True)
    options.add_argument("--source", required=True)
    options.add_argument("--images", type=int, required=True)
    options.add_argument("--epochs", type=int, required=True)
    options.add_argument("--batch", type=int, required=True)
    options.add_argument("--rate", type=float, required=True)
    options.add_argument("--threads", type=int, required=True)
    options.add_argument("--seed", type=int, required=True)
    args = options.parse_args()
    torch.manual_seed(args.seed)
    torch.set_num_threads(args.threads)
    names = [f"data_batch_{i}.bin" for i in range(1, 6)]
    images, labels = (tensor[: args.images] for tensor in records(args.source, names))
    test_images, test_labels = records(args.source, ["test_batch.bin"])
    mean = images.float().mean((0, 2, 3), keepdim=True) / 255
    std = (images.float() / 255).std((0, 2, 3), keepdim=True)

    def prepared(x):
        return ((x.float() / 255 - mean) / std).contiguous(memory_format=torch.channels_last)

    net = build(args.network, stochastic_depth=0.2).to(memory_format=torch.channels_last)
    sgd = torch.optim.SGD(net.parameters(), lr=args.rate, momentum=0.9, nesterov=True, weight_decay=5e-4)
    steps = len(images) // args.batch
    total, warm = steps * args.epochs, steps * args.epochs / 5
    rise = lambda t: 0.1 + 0.9 * t / warm if t < warm else max(0.0, (total - t) / (total - warm))  # noqa: E731
    schedule = torch.optim.lr_scheduler.LambdaLR(sgd, rise)
    seconds = 0.0
    for epoch in range(args.epochs):
        net.train()
        start, losses = time.perf_counter(), []
        for chosen in torch.randperm(len(images))[: steps * args.batch].split(args.batch):
            loss = F.cross_entropy(net(prepared(augmented(images[chosen]))), labels[chosen], label_smoothing=0.1)
            sgd.zero_grad(set_to_none=True)
            loss.backward()
            sgd.step()
            schedule.step()
            losses.append(loss.item())
        seconds += time.perf_counter() - start
        net.eval()
        with torch.no_grad():
            hits = sum(
                (net(prepared(x)).argmax(1) == y).sum().item()
                for x, y in zip(test_images.split(500), test_labels.split(500))
            )
        row = {"epoch": epoch + 1, "loss": float(np.mean(losses)), "accuracy": hits / len(test_images), "seconds": seconds}
        print(json.dumps(row), flush=True)


main()
