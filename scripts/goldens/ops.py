"""Golden results of operations: inputs, output and gradients by PyTorch in float64, stored as float32.

Versions: Python 3.11, torch 2.15.0, numpy 2.4.6 (any torch >= 2.0 gives the same to the bound printed).
Run from the repository's root: python scripts/goldens/ops.py  ->  tests/goldens/ops.json, tests/goldens/ops.bin
"""

import platform

import numpy as np
import torch
import torch.nn.functional as F
from golden_file import GoldenFile

torch.manual_seed(20240229)
CASES = []


def case(family, title, attrs, inputs, compute, wrt=None):
    CASES.append((family, title, attrs, inputs, compute, wrt))


def normal(*shape):
    return torch.randn(*shape, dtype=torch.float32).double()


def distinct(*shape):
    count = int(np.prod(shape))
    return ((torch.randperm(count) - count // 2).double() / 16).reshape(shape)


def conv(title, x, w, stride=1, padding=0, dilation=1, groups=1):
    attrs = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    case("conv2d", title, attrs, {"x": normal(*x), "w": normal(*w)},
         lambda x, w: F.conv2d(x, w, stride=stride, padding=padding, dilation=dilation, groups=groups))


# airbench and resnet9
conv("whitening 2x2, 3 to 24", (2, 3, 8, 8), (24, 3, 2, 2))
conv("airbench 3x3, 24 to 64", (2, 24, 7, 7), (64, 24, 3, 3), padding=1)
conv("resnet9 stem", (2, 3, 8, 8), (64, 3, 3, 3), padding=1)
conv("resnet9 3x3, 64 to 64 on 4x4", (2, 64, 4, 4), (64, 64, 3, 3), padding=1)
conv("batch of 16", (16, 16, 4, 4), (32, 16, 3, 3), padding=1)
# mobilenet_v3, efficientnet
conv("mobilenet stem 3x3 stride 2", (2, 3, 15, 15), (16, 3, 3, 3), stride=2, padding=1)
conv("expansion 1x1, 24 to 72", (2, 24, 5, 5), (72, 24, 1, 1))
conv("projection 1x1, 72 to 40", (2, 72, 4, 4), (40, 72, 1, 1))
conv("depthwise 3x3", (2, 24, 7, 7), (24, 1, 3, 3), padding=1, groups=24)
conv("depthwise 5x5 stride 2", (2, 72, 7, 7), (72, 1, 5, 5), stride=2, padding=2, groups=72)
conv("depthwise 5x5 dilation 2", (1, 16, 9, 9), (16, 1, 5, 5), padding=4, dilation=2, groups=16)
conv("squeeze 1x1 on one pixel", (5, 72, 1, 1), (24, 72, 1, 1))
# densenet, regnet
conv("densenet stem 7x7 stride 2", (1, 3, 15, 15), (16, 3, 7, 7), stride=2, padding=3)
conv("regnet groups of 8 stride 2", (2, 48, 8, 8), (48, 8, 3, 3), stride=2, padding=1, groups=6)
conv("shortcut 1x1 stride 2", (2, 24, 7, 7), (40, 24, 1, 1), stride=2)
conv("3x3 dilation 2", (2, 16, 9, 9), (24, 16, 3, 3), padding=2, dilation=2)

for kernel, stride, padding, shape in [(2, 2, 0, (2, 16, 8, 8)), (3, 2, 1, (2, 5, 7, 7)), (3, 3, 0, (2, 24, 6, 6))]:
    attrs = {"kernel": kernel, "stride": stride, "padding": padding}
    case("maxPool2d", f"{shape} {kernel}/{stride}", attrs, {"x": distinct(*shape)},
         lambda x, k=kernel, s=stride, p=padding: F.max_pool2d(x, k, s, p))
    case("avgPool2d", f"{shape} {kernel}/{stride}", attrs, {"x": normal(*shape)},
         lambda x, k=kernel, s=stride, p=padding: F.avg_pool2d(x, k, s, p))

ACTIVATIONS = {"relu": F.relu, "relu6": F.relu6, "sigmoid": torch.sigmoid, "tanh": torch.tanh,
               "hardSigmoid": F.hardsigmoid, "hardSwish": F.hardswish, "silu": F.silu, "gelu": F.gelu}
for kind, function in ACTIVATIONS.items():
    case("activation", kind, {"kind": kind}, {"x": (3 * normal(3, 5, 7, 7))}, function)

for border, padding_mode in [("zeros", "zeros"), ("reflect", "reflection")]:
    for mode in ["nearest", "bilinear"]:
        for title, theta, size in [
            ("rotate and scale", [[[0.83, -0.41, 0.07], [0.37, 0.91, -0.05]], [[1.31, 0.53, 0.11], [-0.47, 1.23, 0.03]]], (6, 8)),
            ("far outside", [[[2.31, 0.2, 1.7], [-0.3, 2.57, -2.1]], [[1.9, 0.1, -3.3], [0.23, 1.1, 1.13]]], (5, 4)),
            ("enlarge", [[[0.71, 0, 0.013], [0, 0.67, 0.017]], [[0.9, 0.05, 0.029], [0.03, 0.8, 0.021]]], (11, 9)),
            ("mirror", [[[-1, 0, 0], [0, 1, 0]], [[1, 0, 0], [0, -1, 0]]], (6, 8)),
            ("shift by whole pixels", [[[1, 0, 4 / 7], [0, 1, -2 / 5]], [[1, 0, -6 / 7], [0, 1, 4 / 5]]], (6, 8)),
        ]:
            case("affineSample", f"{title}, {mode}, {border}",
                 {"height": size[0], "width": size[1], "mode": mode, "border": border},
                 {"x": normal(2, 3, 6, 8), "theta": torch.tensor(theta, dtype=torch.float32).double()},
                 lambda x, theta, s=size, m=mode, p=padding_mode: F.grid_sample(
                     x, F.affine_grid(theta, [2, 3, *s], align_corners=True), mode=m, padding_mode=p, align_corners=True),
                 wrt=[])

for shape, size in [((2, 3, 4, 4), (7, 9)), ((1, 5, 8, 8), (3, 5)), ((1, 3, 8, 8), (33, 31)), ((2, 3, 1, 1), (4, 4))]:
    case("resize", f"{shape} to {size}", {"height": size[0], "width": size[1]}, {"x": normal(*shape)},
         lambda x, s=size: F.interpolate(x, s, mode="bilinear", align_corners=False, antialias=False))

case("logSoftmax", "[16, 10]", {}, {"x": 3 * normal(16, 10)}, lambda x: F.log_softmax(x, 1))
case("linear", "[16, 48] to 10", {}, {"x": normal(16, 48), "w": normal(10, 48), "b": normal(10)}, F.linear)
for smoothing in [0.0, 0.1]:
    labels = torch.randint(0, 10, (16,))
    case("crossEntropy", f"label smoothing {smoothing}", {"labelSmoothing": smoothing},
         {"x": 2 * normal(16, 10), "labels": labels},
         lambda x, labels, s=smoothing: F.cross_entropy(x, labels, label_smoothing=s))
for shape in [(4, 5, 7, 7), (16, 16, 4, 4), (3, 24, 5, 5)]:
    channels = shape[1]
    case("batchNorm", f"{shape}", {"eps": 1e-5},
         {"x": 2 * normal(*shape) + 0.5, "scale": normal(channels), "bias": normal(channels)},
         lambda x, scale, bias: F.batch_norm(x, None, None, scale, bias, training=True, eps=1e-5))
case("reduceMax", "rows", {"axis": 1}, {"x": distinct(5, 10)}, lambda x: x.amax(1))
case("globalAvgPool", "(3, 24, 5, 5)", {}, {"x": normal(3, 24, 5, 5)}, lambda x: F.adaptive_avg_pool2d(x, 1).flatten(1))


def evaluate(compute, inputs, cotangent, wrt, dtype):
    leaves = {k: v.detach().to(dtype).clone().requires_grad_(k in wrt) if v.is_floating_point() else v for k, v in inputs.items()}
    output = compute(*leaves.values())
    grads = torch.autograd.grad(output, [leaves[k] for k in wrt], cotangent.to(dtype)) if wrt else []
    return [t.detach() for t in (output, *grads)]


def main():
    golden = GoldenFile("tests/goldens/ops", {"generator": "scripts/goldens/ops.py", "torch": torch.__version__,
                                              "numpy": np.__version__, "python": platform.python_version()})
    index, worst = [], 0.0
    for family, title, attrs, inputs, compute, wrt in CASES:
        by = [k for k, v in inputs.items() if v.is_floating_point()] if wrt is None else wrt
        cotangent = torch.randn(compute(*inputs.values()).shape, dtype=torch.float32).double()
        exact = evaluate(compute, inputs, cotangent, by, torch.float64)
        single = evaluate(compute, inputs, cotangent, by, torch.float32)
        error = max(float((a - b.double()).abs().max() / a.abs().max().clamp_min(1e-30)) for a, b in zip(exact, single))
        assert error < 2e-5, f"{family} {title}: float32 and float64 differ by {error}"
        worst = max(worst, error)
        index.append({"family": family, "title": title, "attrs": attrs,
                      "inputs": {k: golden.add(v.detach().numpy()) for k, v in inputs.items()},
                      "cotangent": golden.add(cotangent.numpy()), "output": golden.add(exact[0].numpy()),
                      "gradients": {k: golden.add(g.numpy()) for k, g in zip(by, exact[1:])}})
    print(f"{len(index)} cases, torch float32 against float64: max relative error {worst:.2e}")
    golden.write({"maxRelativeErrorFloat32": worst, "cases": index})


main()
