"""Golden results of torchvision's networks.

Versions: Python 3.11, torch 2.15.0, torchvision 0.29, numpy 2.4.6.
Run from the repository's root: python scripts/goldens/torchvision_models.py
  ->  tests/goldens/torchvision-models.json, .bin

Of every variant: the numbers of parameters and a digest of names and shapes in order. Of some: logits in
evaluation, at 64x64 as published and at 32x32 with the stem's stride 1, and one training step. Weights and images come
from the integer hash that tests/numerics/hashed-numbers.ts repeats, so that only results are stored; all in float64,
beside the distance of PyTorch's own float32 run.
"""

import hashlib
import platform

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
import torchvision
from golden_file import GoldenFile
from torchvision.models.regnet import BlockParams

REGNETS = ["400mf", "800mf", "1_6gf", "3_2gf", "8gf", "16gf", "32gf"]
MOBILENETS = ["mobilenet_v2", "mobilenet_v3_small", "mobilenet_v3_large"]
EFFICIENTNETS = [*[f"efficientnet_b{i}" for i in range(8)], *[f"efficientnet_v2_{size}" for size in "sml"]]
NAMES = [*MOBILENETS, *EFFICIENTNETS, "resnet18", "resnet50", "densenet121", "densenet161", "densenet169", "densenet201",
         *[f"regnet_{kind}_{size}" for kind in "xy" for size in REGNETS]]
EVALUATED = [*MOBILENETS, "efficientnet_b0", "efficientnet_b5", "efficientnet_v2_s", "resnet18", "resnet50", "densenet121", "regnet_x_400mf", "regnet_y_400mf"]
TRAINED = ["mobilenet_v3_small", "efficientnet_b0", "resnet18", "densenet121", "regnet_y_400mf"]
CLASSES, BATCH, MEAN, STD = 10, 16, 0.5, 0.25
# In training fewer ReLUs are near zero with it: one that rounding switches moves gradients by a percent.
TRAINING_NORM_BIAS = 3
# Factors on filters with which logits depend on the images and rounding stays small; 1 for the others.
GAINS = {"mobilenet_v3_large": 0.94, "efficientnet_b0": 1.02, "efficientnet_b5": 0.975, "efficientnet_v2_s": 0.81}
STORED = 12  # elements of each tensor of the training step


def hashed(seed, count):
    """32-bit mixes of seed and index (splitmix32's finaliser)."""
    z = np.arange(count, dtype=np.uint64) + np.uint64(seed) * np.uint64(0x9E3779B9) & np.uint64(0xFFFFFFFF)
    mask = np.uint64(0xFFFFFFFF)
    z ^= z >> np.uint64(16)
    z = z * np.uint64(0x21F0AAAD) & mask
    z ^= z >> np.uint64(15)
    z = z * np.uint64(0x735A2D97) & mask
    return (z ^ (z >> np.uint64(15))).astype(np.int64)


def build(name, classes):
    """Without anything random."""
    quiet = {"dropout": 0.0} if name in MOBILENETS else {"dropout": 0.0, "stochastic_depth_prob": 0.0}
    options = quiet if name in MOBILENETS + EFFICIENTNETS else {}
    return getattr(torchvision.models, name)(num_classes=classes, **options)


def on_cpu(function):
    def call(*args, **kwargs):
        with torch.device("cpu"):
            return function(*args, **kwargs)

    return call


# RegNet computes its widths with tensors, which have no values on the device "meta".
BlockParams.from_init_params = on_cpu(BlockParams.from_init_params)


def tensors_of(net):
    """Parameters, then buffers, in torchvision's order."""
    buffers = {k: v for k, v in net.named_buffers() if not k.endswith("num_batches_tracked")}
    return {**dict(net.named_parameters()), **buffers}


def layout(name):
    with torch.device("meta"):
        small, whole = build(name, CLASSES), build(name, 1000)
    lines = [f"{k} {'x'.join(map(str, v.shape))}" for k, v in tensors_of(whole).items()]
    counts = [sum(p.numel() for p in net.parameters()) for net in (small, whole)]
    return {"parameters10": counts[0], "parameters1000": counts[1], "tensors": len(lines),
            "digest": hashlib.sha256("\n".join(lines).encode()).hexdigest()}


def initialise(net, norm_bias, gain):
    """Weights of more than one dimension uniform with the variance of He's initialisation times the gain (an eighth of it for
    the logits), scales and running variances 1 + u / 4, everything else
    u / 8 (biases of norms plus norm_bias) with u in [-1, 1); seeds follow the
    alphabetical order of the names."""
    norm_biases = {f"{name}.bias" for name, module in net.named_modules() if isinstance(module, nn.BatchNorm2d)}
    with torch.no_grad():
        for seed, (name, tensor) in enumerate(sorted(tensors_of(net).items())):
            u = 2 * ((hashed(1000 + seed, tensor.numel()) >> 8) / 0x1000000) - 1
            if tensor.dim() > 1:
                values = u * np.sqrt(6 / tensor[0].numel()) * (1 / 8 if tensor.dim() == 2 else gain)
            elif name.endswith("running_var") or name.endswith("weight"):
                values = 1 + u / 4
            else:
                values = u / 8 + (norm_bias if name in norm_biases else 0)
            tensor.copy_(torch.from_numpy(values.astype(np.float32).astype(np.float64)).reshape(tensor.shape))


def for_small_images(name, net):
    """The strides that the stem's stride 1 stands for."""
    if name.startswith("resnet"):
        net.conv1.stride, net.maxpool = (1, 1), nn.Identity()
    elif name.startswith("densenet"):
        net.features.conv0.stride, net.features.pool0 = (1, 1), nn.Identity()
    elif name in MOBILENETS + EFFICIENTNETS:
        net.features[0][0].stride = (1, 1)
        blocks = [m for stage in list(net.features)[1:-1] for m in stage.modules() if isinstance(m, nn.Conv2d)]
        next(conv for conv in blocks if conv.stride == (2, 2)).stride = (1, 1)
    else:
        first = net.trunk_output.block1[0]
        net.stem[0].stride = first.proj[0].stride = first.f.b[0].stride = (1, 1)
    return net


def network(name, size, dtype, norm_bias=0):
    net = build(name, CLASSES).to(dtype)
    initialise(net, norm_bias, GAINS.get(name, 1))
    return net if size >= 64 else for_small_images(name, net)


def images(size, dtype):
    pixels = torch.from_numpy(hashed(1, BATCH * 3 * size * size) >> 24).reshape(BATCH, 3, size, size)
    return (pixels.to(dtype) / 255 - MEAN) / STD


def evaluate(name, size, dtype):
    with torch.no_grad():
        return network(name, size, dtype).eval()(images(size, dtype)).double()


def train(name, size, dtype):
    net = network(name, size, dtype, TRAINING_NORM_BIAS).train()
    labels = torch.from_numpy((hashed(101, BATCH) >> 8) % CLASSES)
    loss = F.cross_entropy(net(images(size, dtype)), labels)
    loss.backward()
    buffers = {k: v for k, v in tensors_of(net).items() if k.endswith(("running_mean", "running_var"))}
    return {"loss": loss.detach().reshape(1).double(), **{f"buffer/{k}": v.double() for k, v in buffers.items()},
            **{f"grad/{k}": p.grad.double() for k, p in net.named_parameters()}}


def distance(a, b, floor):
    return float((a - b).norm() / b.norm().clamp_min(floor))


def floors(tensors):
    """Lengths below which a tensor counts as zero, by kind: some gradients are zero but for rounding."""
    norms = {}
    for name, tensor in tensors.items():
        norms.setdefault(name.split("/")[0], []).append(float(tensor.norm()))
    return {kind: 1e-2 * float(np.median(values)) for kind, values in norms.items()}


def main():
    golden = GoldenFile("tests/goldens/torchvision-models", {
        "generator": "scripts/goldens/torchvision_models.py", "torch": torch.__version__,
        "torchvision": torchvision.__version__, "numpy": np.__version__, "python": platform.python_version()})
    layouts = {name: layout(name) for name in NAMES}
    evaluations = []
    for name in EVALUATED:
        for size in (64, 32):
            exact = evaluate(name, size, torch.float64)
            apart = float((evaluate(name, size, torch.float32) - exact).abs().max())
            print(f"{name} {size}: logits up to {float(exact.abs().max()):.3g}, float32 off by {apart:.1e}")
            evaluations.append({"model": name, "size": size, "logits": golden.add(exact.numpy()),
                                "float32Difference": apart})
    trainings = []
    for name in TRAINED:
        exact, single = train(name, 32, torch.float64), train(name, 32, torch.float32)
        entries, floor = {}, floors(exact)
        for key, value in exact.items():
            stride = -(-value.numel() // STORED)
            entries[key] = {"stride": stride, "norm": float(value.norm()),
                            "values": golden.add(value.flatten()[::stride].numpy()),
                            "float32Distance": distance(single[key], value, floor[key.split("/")[0]])}
        for kind in ("loss", "buffer/", "grad/"):
            found = [e["float32Distance"] for k, e in entries.items() if k.startswith(kind)]
            print(f"{name} {kind}: float32 from float64, median {np.median(found):.1e}, largest {max(found):.1e}")
        trainings.append({"model": name, "size": 32, "floors": floor, "tensors": entries})
    golden.write({"classes": CLASSES, "batchSize": BATCH, "mean": MEAN, "std": STD,
                  "trainingNormBias": TRAINING_NORM_BIAS, "gains": GAINS, "layouts": layouts,
                  "evaluations": evaluations, "trainings": trainings})


main()
