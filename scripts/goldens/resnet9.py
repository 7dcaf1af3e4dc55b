"""Golden training of resnet9 at a quarter of its width: 20 steps of SGD by PyTorch in float64.

Versions: Python 3.11, torch 2.15.0, numpy 2.4.6.
Run from the repository's root: python scripts/goldens/resnet9.py  ->  tests/goldens/resnet9.json, .bin

Images, labels and first weights come from the integer hash below, which tests/numerics/hashed-numbers.ts repeats, so
that only results are stored. Of tensors with more than 2,048 elements every 31st is stored, beside the length of the
whole. float32 runs of the same program (with 1 and with 2 threads) give the yardstick: how far rounding alone leads.
"""

import platform

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
from golden_file import GoldenFile

WIDTH_FACTOR, BATCH, STEPS, BATCHES, CLASSES = 0.25, 32, 20, 20, 10
LEARNING_RATE, MOMENTUM, WEIGHT_DECAY, LABEL_SMOOTHING = 0.05, 0.9, 5e-4, 0.1
MEAN, STD = 0.5, 0.25
FULL, STRIDE = 2048, 31
STEPS_STORED = [1, 5, 10, STEPS]


def hashed(seed, count):
    """32-bit mixes of seed and index (splitmix32's finaliser)."""
    z = np.arange(count, dtype=np.uint64) + np.uint64(seed) * np.uint64(0x9E3779B9) & np.uint64(0xFFFFFFFF)
    mask = np.uint64(0xFFFFFFFF)
    z ^= z >> np.uint64(16)
    z = z * np.uint64(0x21F0AAAD) & mask
    z ^= z >> np.uint64(15)
    z = z * np.uint64(0x735A2D97) & mask
    return (z ^ (z >> np.uint64(15))).astype(np.int64)


class Unit(nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(outputs)

    def forward(self, x):
        return F.relu(self.bn(self.conv(x)))


class ResidualUnit(Unit):
    def __init__(self, inputs, outputs):
        super().__init__(inputs, outputs)
        self.residual = nn.Sequential(Unit(outputs, outputs), Unit(outputs, outputs))

    def forward(self, x):
        x = F.max_pool2d(super().forward(x), 2)
        return x + self.residual(x)


class ResNet9(nn.Module):
    def __init__(self):
        super().__init__()
        w1, w2, w3, w4 = (round(width * WIDTH_FACTOR) for width in (64, 128, 256, 512))
        self.stem = Unit(3, w1)
        self.layer1 = ResidualUnit(w1, w2)
        self.layer2 = Unit(w2, w3)
        self.layer3 = ResidualUnit(w3, w4)
        self.classifier = nn.Linear(w4, CLASSES)

    def forward(self, x):
        x = F.max_pool2d(self.layer2(self.layer1(self.stem(x))), 2)
        return self.classifier(self.layer3(x).mean((2, 3)))


def initialise(model):
    """Uniform with the variance of He's initialisation, an eighth of it before the logits, so that the first steps do
    not amplify rounding a thousandfold; batch norm at 1 and 0; seeds by name in alphabetical order."""
    with torch.no_grad():
        for seed, (name, parameter) in enumerate(sorted(model.named_parameters())):
            if parameter.dim() > 1:
                bound = np.sqrt(6 / parameter[0].numel()) * (1 / 8 if name == "classifier.weight" else 1)
                unit = (hashed(1000 + seed, parameter.numel()) >> 8) / 0x1000000
                values = ((2 * unit - 1) * bound).astype(np.float32)
                parameter.copy_(torch.from_numpy(values.astype(np.float64)).reshape(parameter.shape))
            else:
                parameter.fill_(1.0 if name.endswith("bn.weight") else 0.0)


def batch(step, dtype):
    index = step % BATCHES
    pixels = hashed(1 + index, BATCH * 3 * 32 * 32) >> 24
    images = (torch.from_numpy(pixels).to(dtype) / 255 - MEAN) / STD
    labels = (hashed(101 + index, BATCH) >> 8) % CLASSES
    return images.reshape(BATCH, 3, 32, 32), torch.from_numpy(labels)


def state_of(model):
    tensors = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    return {k: v.detach().double().clone() for k, v in tensors.items() if not k.endswith("num_batches_tracked")}


def train(dtype, threads):
    torch.set_num_threads(threads)
    model = ResNet9().to(dtype).train()
    initialise(model)
    optimiser = torch.optim.SGD(model.parameters(), LEARNING_RATE, MOMENTUM, weight_decay=WEIGHT_DECAY, nesterov=True)
    losses, gradients, states = [], {}, {}
    for step in range(STEPS):
        images, labels = batch(step, dtype)
        loss = F.cross_entropy(model(images), labels, label_smoothing=LABEL_SMOOTHING)
        optimiser.zero_grad()
        loss.backward()
        losses.append(loss.item())
        if step == 0:
            gradients = {k: p.grad.double().clone() for k, p in model.named_parameters()}
        optimiser.step()
        if step + 1 in STEPS_STORED:
            states[step + 1] = state_of(model)
    return losses, gradients, states


def distance(a, b):
    return float((a - b).norm() / b.norm().clamp_min(1e-30))


def main():
    golden = GoldenFile("tests/goldens/resnet9", {"generator": "scripts/goldens/resnet9.py", "torch": torch.__version__,
                                                  "numpy": np.__version__, "python": platform.python_version()})
    losses, gradients, states = train(torch.float64, 2)
    singles = [train(torch.float32, threads) for threads in (1, 2)]

    def entry(exact, others):
        flat = exact.flatten()
        stride = STRIDE if flat.numel() > FULL else 1
        return {"stride": stride, "norm": float(flat.norm()), "values": golden.add(flat[::stride].numpy()),
                "float32Distance": max(distance(other, exact) for other in others)}

    content = {
        "options": {"widthFactor": WIDTH_FACTOR, "batchSize": BATCH, "steps": STEPS, "batches": BATCHES,
                    "classes": CLASSES, "learningRate": LEARNING_RATE, "momentum": MOMENTUM,
                    "weightDecay": WEIGHT_DECAY, "labelSmoothing": LABEL_SMOOTHING, "mean": MEAN, "std": STD},
        "losses": losses,
        "lossFloat32Distance": [max(abs(s[0][i] - losses[i]) / losses[i] for s in singles) for i in range(STEPS)],
        "gradients": {k: entry(v, [s[1][k] for s in singles]) for k, v in gradients.items()},
        "states": {str(step): {k: entry(v, [s[2][step][k] for s in singles]) for k, v in state.items()}
                   for step, state in states.items()},
    }
    for what, entries in [("gradients", content["gradients"]), *content["states"].items()]:
        distances = sorted(e["float32Distance"] for e in entries.values())
        print(f"{what}: float32 from float64, median {np.median(distances):.2e}, largest {distances[-1]:.2e}")
    print("loss", losses[0], "->", losses[-1], "float32 off by at most", max(content["lossFloat32Distance"]))
    golden.write(content)


main()
