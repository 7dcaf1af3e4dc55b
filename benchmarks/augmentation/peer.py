"""The peer of benchmarks/augmentation: torchvision.transforms.v2 on batches of bytes, one draw for a whole batch.

Asked by lines on its standard input ({"steps": k, "recipe": name}), it answers with one line of JSON each.
"""

import argparse
import json
import sys
import time

import torch
from torchvision.transforms import InterpolationMode, v2

BILINEAR = InterpolationMode.BILINEAR


def recipes(size):
    affine = v2.RandomAffine(15, scale=(0.8, 1.2), shear=(-10, 10, -10, 10), interpolation=BILINEAR)
    jitter = v2.ColorJitter(0.2, 0.2, 0.2, 0.1)
    resized_crop = v2.RandomResizedCrop(size, antialias=False)
    resize = v2.Resize((size, size), antialias=False)
    crop = v2.RandomCrop(32, padding=4, padding_mode="reflect")
    cutout = v2.RandomErasing(p=1, scale=(1 / 16, 1 / 16), ratio=(1, 1))
    finish = [v2.ToDtype(torch.float32, scale=True), v2.Normalize([0.49, 0.48, 0.45], [0.247, 0.243, 0.262])]
    flip = v2.RandomHorizontalFlip(1)
    first = {
        "crop_flip": [crop, flip],
        "crop": [crop],
        "flip": [flip],
        "vertical_flip": [v2.RandomVerticalFlip(1)],
        "rotation": [v2.RandomRotation(15, interpolation=BILINEAR)],
        "affine": [affine],
        "elastic": [v2.ElasticTransform()],
        "jitter": [jitter],
        "blur": [v2.GaussianBlur(7, (0.3, 1.2))],
        "rand_augment": [v2.RandAugment(interpolation=BILINEAR)],
        "trivial_augment": [v2.TrivialAugmentWide(interpolation=BILINEAR)],
    }
    made = {name: [*steps, resize, *finish] for name, steps in first.items()}
    made["plain"] = [resize, *finish]
    made["resized_crop"] = [resized_crop, *finish]
    made["noise"] = [finish[0], v2.GaussianNoise(0, 0.05), resize, finish[1]]
    made["erasing"] = [resize, v2.RandomErasing(p=1), *finish]
    made["mixup"] = [resize, *finish, v2.MixUp(num_classes=10, alpha=0.2)]
    made["cutmix"] = [resize, *finish, v2.CutMix(num_classes=10)]
    # As with us the colours change at the size of the source.
    made["heavy"] = [jitter, resized_crop, flip, affine, cutout, *finish]
    return made


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--size", type=int, required=True)
    options.add_argument("--batch", type=int, required=True)
    options.add_argument("--threads", type=int, required=True)
    args = options.parse_args()
    torch.manual_seed(1)
    torch.set_num_threads(args.threads)
    images = torch.randint(0, 256, (args.batch, 3, 32, 32), dtype=torch.uint8)
    labels = torch.arange(args.batch) % 10
    table = recipes(args.size)

    def answer(value):
        sys.stdout.write(json.dumps(value) + "\n")
        sys.stdout.flush()

    def step(recipe):
        x, y = images, labels
        for transform in table[recipe]:
            if isinstance(transform, (v2.MixUp, v2.CutMix)):
                x, y = transform(x, y)
            else:
                x = transform(x)
        return x

    warm = set()
    answer({"torch": torch.__version__})
    with torch.no_grad():
        for line in sys.stdin:
            question = json.loads(line)
            recipe = question["recipe"]
            if recipe not in warm:
                step(recipe)
                warm.add(recipe)
            times, x = [], None
            for _ in range(question["steps"]):
                start = time.perf_counter()
                x = step(recipe)
                times.append((time.perf_counter() - start) * 1e3)
            answer({"ms": times, "loss": float(x.flatten()[0])})


main()
