"""Networks of src/models in PyTorch, for 32x32 images and ten classes."""

import torchvision
from torch import nn


def unit(inputs, outputs):
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)
    )


class Residual(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.branch = nn.Sequential(unit(channels, channels), unit(channels, channels))

    def forward(self, x):
        return x + self.branch(x)


def resnet9():
    """As src/models/resnet9.ts."""
    return nn.Sequential(
        unit(3, 64),
        unit(64, 128),
        nn.MaxPool2d(2),
        Residual(128),
        unit(128, 256),
        nn.MaxPool2d(2),
        unit(256, 512),
        nn.MaxPool2d(2),
        Residual(512),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(512, 10),
    )


def published(name, stochastic_depth=0.0):
    """torchvision's without dropout, its first strides 1 where src/models has them so for 32x32."""
    rates = {
        "mobilenet": {"dropout": 0.0},
        "efficientnet": {"dropout": 0.0, "stochastic_depth_prob": stochastic_depth},
    }
    net = getattr(torchvision.models, name)(num_classes=10, **rates.get(name.split("_")[0], {}))
    if name.startswith("densenet"):
        net.features.conv0.stride, net.features.pool0 = (1, 1), nn.Identity()
    elif name.startswith("regnet"):
        first = net.trunk_output.block1[0]
        net.stem[0].stride = first.proj[0].stride = first.f.b[0].stride = (1, 1)
    else:
        net.features[0][0].stride = (1, 1)
        blocks = [m for stage in list(net.features)[1:-1] for m in stage.modules() if isinstance(m, nn.Conv2d)]
        next(conv for conv in blocks if conv.stride == (2, 2)).stride = (1, 1)
    return net


def build(name, stochastic_depth=0.0):
    return resnet9() if name == "resnet9" else published(name, stochastic_depth)
