"""The peers' heads on frozen features, as src/models/transfer.ts and src/nn/layers/rcbam.ts have them."""

import torch
from torch import nn
from torch.nn import functional as F


class ChannelAttention(nn.Module):
    def __init__(self, channels, ratio=16):
        super().__init__()
        self.fc1 = nn.Linear(channels, max(1, channels // ratio), bias=False)
        self.fc2 = nn.Linear(max(1, channels // ratio), channels, bias=False)

    def forward(self, x):
        answers = [self.fc2(F.relu(self.fc1(d))) for d in (x.mean((2, 3)), x.amax((2, 3)))]
        return torch.sigmoid(answers[0] + answers[1])[:, :, None, None]


class SpatialAttention(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(2, 1, 7, padding=3, bias=False)
        self.bn = nn.BatchNorm2d(1)

    def forward(self, x):
        return torch.sigmoid(self.bn(self.conv(torch.cat([x.mean(1, keepdim=True), x.amax(1, keepdim=True)], 1))))


class RCBAM(nn.Module):
    def __init__(self, channels, inner):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, inner, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(inner)
        self.conv2 = nn.Conv2d(inner, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.channel, self.spatial = ChannelAttention(channels), SpatialAttention()
        self.channel_gate, self.spatial_gate, self.skip_gate = (nn.Parameter(torch.zeros(1)) for _ in range(3))
        for conv in (self.conv1, self.conv2):
            nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x):
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        a, b, c = (torch.sigmoid(gate) for gate in (self.channel_gate, self.spatial_gate, self.skip_gate))
        u = y + a * (self.channel(y) * y - y)
        v = u + b * (self.spatial(u) * u - u)
        return F.relu(v + c * x)


def head(mode, channels, inner, classes, dropout):
    if mode == "classifier_only":
        return nn.Sequential(nn.Dropout(dropout), nn.Linear(channels, classes))
    return nn.Sequential(
        RCBAM(channels, inner),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Dropout(dropout),
        nn.Linear(channels, 1024),
        nn.ReLU(),
        nn.Dropout(dropout),
        nn.Linear(1024, classes),
    )


def adamw(net, lr, weight_decay):
    """Filters and linear weights decay; biases, norms and gates do not."""
    decayed = [p for p in net.parameters() if p.ndim > 1]
    rest = [p for p in net.parameters() if p.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": weight_decay}, {"params": rest, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=lr, fused=True)
