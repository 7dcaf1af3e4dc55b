"""Golden results of the residual attention block, written in PyTorch from its specification.

Versions: Python 3.11, torch 2.15.0, numpy 2.4.6.
Run from the repository's root: python scripts/goldens/rcbam.py  ->  tests/goldens/rcbam.json, .bin

Parameters, buffers and the input are normal random numbers (stored); the output in training, running statistics and
the gradients of sum(output * cotangent) come from float64.
"""

import numpy as np
import torch
from golden_file import GoldenFile
from torch import nn
from torch.nn import functional as F

CHANNELS, INNER, RATIO = 16, 8, 4


class ChannelAttention(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1 = nn.Linear(CHANNELS, CHANNELS // RATIO, bias=False)
        self.fc2 = nn.Linear(CHANNELS // RATIO, CHANNELS, bias=False)

    def forward(self, x):
        answers = [self.fc2(F.relu(self.fc1(d))) for d in (x.mean((2, 3)), x.amax((2, 3)))]
        return torch.sigmoid(sum(answers))[:, :, None, None]


class SpatialAttention(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(2, 1, 7, padding=3, bias=False)
        self.bn = nn.BatchNorm2d(1)

    def forward(self, x):
        return torch.sigmoid(self.bn(self.conv(torch.cat([x.mean(1, keepdim=True), x.amax(1, keepdim=True)], 1))))


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(CHANNELS, INNER, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(INNER)
        self.conv2 = nn.Conv2d(INNER, CHANNELS, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(CHANNELS)
        self.channel, self.spatial = ChannelAttention(), SpatialAttention()
        self.channel_gate, self.spatial_gate, self.skip_gate = (nn.Parameter(torch.zeros(1)) for _ in range(3))

    def forward(self, x):
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        a, b, c = (torch.sigmoid(gate) for gate in (self.channel_gate, self.spatial_gate, self.skip_gate))
        u = (1 - a) * y + a * self.channel(y) * y
        v = (1 - b) * u + b * self.spatial(u) * u
        return F.relu(v + c * x)


def main():
    torch.manual_seed(1)
    golden = GoldenFile("tests/goldens/rcbam", {"channels": CHANNELS, "innerChannels": INNER, "ratio": RATIO,
                                                "torch": torch.__version__})
    net = Block().double().train()
    state = {k: v for k, v in net.state_dict().items() if not k.endswith("num_batches_tracked")}
    with torch.no_grad():
        for name, tensor in state.items():
            values = torch.randn_like(tensor) / np.sqrt(max(1, tensor[0].numel()))
            tensor.copy_((values.abs() + 0.5 if name.endswith("running_var") else values).float().double())
    given = {name: golden.add(tensor.numpy()) for name, tensor in state.items()}
    x = torch.randn(3, CHANNELS, 5, 4).float().double().requires_grad_()
    cotangent = torch.randn(3, CHANNELS, 5, 4).float().double()
    evaluated = net.eval()(x)
    output = net.train()(x)
    (output * cotangent).sum().backward()
    golden.write({
        "given": given,
        "x": golden.add(x.detach().numpy()),
        "cotangent": golden.add(cotangent.numpy()),
        "evaluated": golden.add(evaluated.detach().numpy()),
        "output": golden.add(output.detach().numpy()),
        "gradients": {name: golden.add(p.grad.numpy()) for name, p in [*net.named_parameters(), ("x", x)]},
        "buffers": {name: golden.add(net.state_dict()[name].numpy()) for name in state if "running" in name},
    })


if __name__ == "__main__":
    main()
