"""Golden results of torchvision's functional transforms, in float32, each with its parameters.

Versions: Python 3.11, torch 2.15.0, torchvision 0.29.2, numpy 2.4.6.
Run from the repository's root: python scripts/goldens/augmentation.py -> tests/goldens/augmentation.json and .bin
"""

import platform

import numpy as np
import torch
import torchvision
from golden_file import GoldenFile
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as F

torch.manual_seed(20251125)
HEIGHT, WIDTH = 16, 16
BILINEAR = InterpolationMode.BILINEAR

coarse = torch.rand(3, 5, 5)
smooth = F.resize(coarse, [HEIGHT, WIDTH], interpolation=InterpolationMode.BICUBIC, antialias=False)
IMAGE = (smooth + 0.08 * torch.rand(3, HEIGHT, WIDTH)).clamp(0.02, 0.98).mul(255).round().to(torch.uint8)
FLOAT = IMAGE.float() / 255

CASES = []


def case(name, parameters, result):
    CASES.append((name, parameters, result.float() * (255 if result.dtype == torch.float32 else 1)))


for angle in (-33.0, 15.0, 90.0):
    case("rotate", {"degrees": angle}, F.rotate(FLOAT, angle, interpolation=BILINEAR))
for factor in (0.7, 1.4):
    case("scale", {"factor": factor},
         F.affine(FLOAT, 0, [0, 0], factor, [0, 0], interpolation=BILINEAR))
for x, y in ((20.0, 0.0), (0.0, -12.0)):
    case("shear", {"x": x, "y": y},
         F.affine(FLOAT, 0, [0, 0], 1, [x, y], interpolation=BILINEAR))
case("translate", {"x": 3, "y": -2}, F.affine(FLOAT, 0, [3, -2], 1, [0, 0], interpolation=BILINEAR))
for size in (16, 40):
    case("resizedCrop", {"top": 3, "left": 5, "height": 8, "width": 9, "size": size},
         F.resized_crop(FLOAT, 3, 5, 8, 9, [size, size], interpolation=BILINEAR, antialias=False))
for factor in (0.6, 1.3):
    case("brightness", {"factor": factor}, F.adjust_brightness(FLOAT, factor))
    case("contrast", {"factor": factor}, F.adjust_contrast(FLOAT, factor))
    case("saturation", {"factor": factor}, F.adjust_saturation(FLOAT, factor))
    case("gamma", {"exponent": factor}, F.adjust_gamma(FLOAT, factor))
    case("sharpness", {"factor": factor}, F.adjust_sharpness(FLOAT, factor))
for turns in (-0.1, 0.05, 0.1, 0.3, 0.5):
    case("hue", {"turns": turns}, F.adjust_hue(FLOAT, turns))
for sigma in (0.5, 1.0):
    case("gaussianBlur", {"sigma": sigma}, F.gaussian_blur(FLOAT, [7, 7], [sigma, sigma]))
for bits in (2, 5):
    case("posterize", {"bits": bits}, F.posterize(IMAGE, bits))
for threshold in (0, 100, 200):
    case("solarize", {"threshold": threshold}, F.solarize(IMAGE, threshold))
case("equalize", {}, F.equalize(IMAGE))
case("autoContrast", {}, F.autocontrast(FLOAT))
case("erase", {"top": 2, "left": 4, "height": 5, "width": 7}, F.erase(FLOAT, 2, 4, 5, 7, torch.zeros(3, 1, 1)))

golden = GoldenFile(
    "tests/goldens/augmentation",
    {"versions": {"python": platform.python_version(), "torch": torch.__version__.split("+")[0],
                  "torchvision": torchvision.__version__.split("+")[0], "numpy": np.__version__}},
)
image = golden.add(IMAGE.numpy().astype(np.int32))
golden.write({"image": image,
              "cases": [{"name": name, "parameters": parameters, "output": golden.add(result.numpy())}
                        for name, parameters, result in CASES]})
