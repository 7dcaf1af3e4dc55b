"""What torchvision and PyTorch say of pretrained weights.

Versions: Python 3.11, torch 2.15.0, torchvision 0.29.
Run from the repository's root: python scripts/goldens/pretrained.py
  ->  tests/goldens/published-weights.json  the default weights of every architecture, with their preprocessing
      tests/fixtures/state-dict.pth         a state dict with every kind of tensor that one can hold

With CIFAR_WEIGHTS=FILE, a state dict of mobilenet_v2 with 1000 classes, it prints the logits of
tests/numerics/pretrained.test.ts, which are stored there.
"""

import json
import os

import numpy as np
import torch
import torchvision
from torchvision import models

REGNETS = ["400mf", "800mf", "1_6gf", "3_2gf", "8gf", "16gf", "32gf"]
NAMES = ["resnet18", "resnet50", "mobilenet_v2", "mobilenet_v3_small", "mobilenet_v3_large",
         "densenet121", "densenet161", "densenet169", "densenet201",
         *[f"efficientnet_b{i}" for i in range(8)], "efficientnet_v2_s", "efficientnet_v2_m", "efficientnet_v2_l",
         *[f"regnet_{kind}_{size}" for kind in "xy" for size in REGNETS]]


def published(name):
    weights = models.get_model_weights(name).DEFAULT
    transform = weights.transforms()
    return {
        "url": weights.url,
        "mebibytes": weights.meta["_file_size"],
        "parameters": weights.meta["num_params"],
        "size": transform.crop_size[0],
        "resize": transform.resize_size[0],
        "interpolation": transform.interpolation.value,
        "mean": transform.mean,
        "std": transform.std,
    }


def state_dict():
    counting = torch.arange(24, dtype=torch.float32)
    return {
        "epoch": 3,
        "note": "beside the state dict",
        "rate": 0.5,
        "betas": (0.9, 0.999),
        "steps": [1, 2**40, None, True],
        "state_dict": {
            "module.plain": counting.reshape(2, 3, 4),
            "module.transposed": counting.reshape(4, 6).t(),
            "module.part": counting.reshape(4, 6)[1:3, ::2],
            "module.half": (counting - 12).to(torch.float16) / 7,
            "module.brain": (counting - 12).to(torch.bfloat16) / 7,
            "module.double": (counting - 12).to(torch.float64) / 7,
            "module.parameter": torch.nn.Parameter(counting[:5] * 2),
            "module.scalar": torch.tensor(1.5),
            "module.empty": torch.zeros(0, 3),
            "module.counter": torch.tensor(7, dtype=torch.int64),
        },
    }


if __name__ == "__main__":
    with open("tests/goldens/published-weights.json", "w") as file:
        json.dump({"torchvision": torchvision.__version__, "weights": {name: published(name) for name in NAMES}}, file, indent=1)
        file.write("\n")
    torch.save(state_dict(), "tests/fixtures/state-dict.pth")
    if "CIFAR_WEIGHTS" in os.environ:
        net = models.mobilenet_v2()
        net.load_state_dict(torch.load(os.environ["CIFAR_WEIGHTS"], weights_only=True))
        at = np.arange(2 * 3 * 224 * 224, dtype=np.float64)
        images = (np.sin(at * 0.001) * np.cos(at * 0.37)).astype(np.float32).reshape(2, 3, 224, 224)
        with torch.no_grad():
            logits = net.eval()(torch.from_numpy(images)).numpy()
        print(logits[:, ::100].tolist())
