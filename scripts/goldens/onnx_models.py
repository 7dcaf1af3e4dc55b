"""ONNX files as PyTorch's exporter writes them, with PyTorch's logits.

Versions: Python 3.11, torch 1.13.0 (its TorchScript exporter), numpy 1.24.
Run from the repository's root: python scripts/goldens/onnx_models.py  ->  tests/goldens/onnx-models.json

Each network is small enough for its file to be kept in the index, as base64: images of 12x12, a few channels. Weights
come from a fixed seed, images from a formula; running statistics are none that a new network has.
"""

import base64
import io
import json

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F


def conv_norm(inputs, outputs, **options):
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, padding=1, bias=False, **options), nn.BatchNorm2d(outputs))


class Plain(nn.Module):
    """Convolutions with batch norm, pooling of both kinds, flatten."""

    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(
            conv_norm(3, 6), nn.ReLU(), nn.MaxPool2d(3, 2, 1, ceil_mode=True), conv_norm(6, 8, groups=2), nn.Hardswish(),
            nn.AvgPool2d(3, 2, 1, count_include_pad=False),
        )
        self.classifier = nn.Sequential(nn.Dropout(0.3), nn.Linear(8 * 16, 5))

    def forward(self, x):
        return self.classifier(torch.flatten(self.features(x), 1))


class Residual(nn.Module):
    """Shortcuts, squeeze-and-excitation, SiLU and GELU, channel shuffle and split, global pooling."""

    def __init__(self):
        super().__init__()
        self.stem = conv_norm(3, 8, stride=2)
        self.branch = nn.Sequential(conv_norm(8, 8), nn.SiLU(), conv_norm(8, 8))
        self.squeeze = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(8, 4, 1), nn.ReLU(), nn.Conv2d(4, 8, 1), nn.Hardsigmoid())
        self.widen = conv_norm(4, 8, dilation=1)
        self.head = nn.Linear(8, 5)

    def forward(self, x):
        x = F.gelu(self.stem(x))
        branch = self.branch(x)
        x = F.relu6(x + branch * self.squeeze(branch))
        n, c, h, w = x.shape
        x = x.view(n, 2, c // 2, h, w).transpose(1, 2).reshape(n, c, h, w)
        left, right = x.chunk(2, dim=1)
        x = F.leaky_relu(torch.cat([left, self.widen(right)], 1), 0.1)
        x = x[:, 4:] * 2 - 0.25
        return self.head(x.mean([2, 3]))


class Shapes(nn.Module):
    """A flatten that is written with the batch's own size, an interpolation, probabilities at the end."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 2, 3, stride=2, padding=1)
        self.head = nn.Linear(2 * 12 * 12, 5)

    def forward(self, x):
        x = torch.tanh(self.conv(x))
        x = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
        x = F.pad(x, (1, 0, 0, 1))[:, :, 1:, :-1]
        return torch.softmax(self.head(x.reshape(x.size(0), -1)), 1)


CASES = [
    ("plain", Plain, 11, True, {}),
    ("plain_unfolded", Plain, 12, False, {"do_constant_folding": False, "training": torch.onnx.TrainingMode.PRESERVE}),
    ("residual", Residual, 13, True, {}),
    ("residual_fixed_batch", Residual, 16, False, {}),
    ("shapes", Shapes, 14, True, {}),
    ("shapes_old", Shapes, 11, True, {}),
]

torch.manual_seed(5)
images = torch.from_numpy(np.sin(np.arange(2 * 3 * 12 * 12) ** 2 * 0.37).astype(np.float32)).reshape(2, 3, 12, 12)
cases = []
for name, network, opset, dynamic, options in CASES:
    model = network().eval()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean, 0, 0.3)
            nn.init.uniform_(module.running_var, 0.5, 2)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, 0, 0.2)
    file = io.BytesIO()
    torch.onnx.export(
        model, images if dynamic else images[:1], file, opset_version=opset, input_names=["pixels"], output_names=["scores"],
        dynamic_axes={"pixels": {0: "n"}, "scores": {0: "n"}} if dynamic else None, **options)
    with torch.no_grad():
        scores = model.eval()(images)
    cases.append({
        "name": name,
        "file": base64.b64encode(file.getvalue()).decode(),
        "scores": [round(float(x), 7) for x in scores.numpy().ravel()],
    })
with open("tests/goldens/onnx-models.json", "w") as out:
    json.dump({"torch": torch.__version__, "cases": cases}, out, separators=(",", ":"))
    out.write("\n")
