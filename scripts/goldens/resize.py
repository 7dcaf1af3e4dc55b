"""Golden results of Pillow's resize with its bilinear filter, from images that a formula gives.

Versions: Python 3.11, Pillow 13.0.0, numpy 2.4.6.
Run from the repository's root: python scripts/goldens/resize.py -> tests/goldens/resize.json
"""

import base64
import json
import platform

import numpy as np
import PIL
from PIL import Image

CHECKERS = [(4000, 3000, size, square) for size, squares in ((224, (1, 7, 16, 50, 333)), (32, (50, 333))) for square in squares]
WAVES = [(640, 480, 224), (640, 480, 32), (1200, 901, 224), (3000, 4000, 224), (500, 400, 100), (100, 80, 224), (5000, 20, 32)]


def checker(width, height, square):
    y, x = np.mgrid[0:height, 0:width]
    return np.repeat((((x // square + y // square) % 2) * 255).astype(np.uint8)[..., None], 3, 2)


def waves(width, height):
    """Faster towards the lower right corner, beyond what the pixels can show."""
    y, x = np.mgrid[0:height, 0:width].astype(np.int64)
    steps = (x * x * 7 + y * y * 13 + x * y * 3) >> 9
    return np.stack([((steps + 85 * channel) & 255).astype(np.uint8) for channel in range(3)], -1)


def entry(pixels, size, more):
    height, width, _ = pixels.shape
    small = np.asarray(Image.fromarray(pixels).resize((size, size), Image.Resampling.BILINEAR))
    stride = max(1, size // 32)
    shown = np.ascontiguousarray(small[::stride, ::stride].transpose(2, 0, 1))
    return {
        "width": width,
        "height": height,
        "size": size,
        **more,
        "stride": stride,
        "pixels": base64.b64encode(shown.tobytes()).decode(),
    }


cases = [entry(checker(width, height, square), size, {"square": square}) for width, height, size, square in CHECKERS]
cases += [entry(waves(width, height), size, {}) for width, height, size in WAVES]
print(platform.python_version(), PIL.__version__, np.__version__)
with open("tests/goldens/resize.json", "w") as file:
    json.dump({"cases": cases}, file, indent=1)
    file.write("\n")
