"""The network of a bundle in PyTorch, with PIL and torchvision's transforms before it."""

import io
import json
import struct
import sys
from pathlib import Path

import numpy
import torch
import torchvision
from PIL import Image
from torchvision import transforms

sys.path.append(str(Path(__file__).parents[2] / "peers"))
from networks import resnet9  # noqa: E402


def read_safetensors(path):
    data = Path(path).read_bytes()
    (size,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + size])
    tensors = {}
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        begin, end = entry["data_offsets"]
        array = numpy.frombuffer(data[8 + size + begin : 8 + size + end], dtype=numpy.float32)
        tensors[name] = torch.tensor(array.reshape(entry["shape"]))
    return tensors


def load(network, weights):
    if network == "resnet9":
        net = resnet9()
        names = [name for name in net.state_dict() if not name.endswith("num_batches_tracked")]
        ours = sorted_like_layers(weights)
        state = {}
        for name in names:
            kind = name.rsplit(".", 1)[1]
            rank = net.state_dict()[name].dim()
            index = next(i for i, (k, value) in enumerate(ours) if k == kind and value.dim() == rank)
            state[name] = ours.pop(index)[1]
        net.load_state_dict(state, strict=False)
    else:
        net = getattr(torchvision.models, network)(num_classes=10)
        missing = [key for key in net.load_state_dict(weights, strict=False).missing_keys if "num_batches" not in key]
        if missing:
            raise SystemExit(f"weights are missing: {missing[:3]}")
    return net.eval()


def sorted_like_layers(weights):
    """The tensors in the order in which the file holds the layers, with the kind of each."""
    return [(name.rsplit(".", 1)[1], value) for name, value in weights.items()]


class Served:
    """What every peer serves: bytes of an image to a tensor, a batch of them to probabilities, a row to an answer."""

    def __init__(self, bundle, network, compiled, dynamic=False):
        metadata = json.loads((Path(bundle) / "metadata.json").read_text())
        prep, self.classes = metadata["preprocessing"], metadata["classes"]
        self.temperature = metadata["calibration"]["temperature"]
        self.model = load(network, read_safetensors(Path(bundle) / "weights.safetensors"))
        size = (prep["height"], prep["width"])
        self.transform = transforms.Compose(
            [transforms.Resize(size), transforms.ToTensor(), transforms.Normalize(prep["mean"], prep["std"])]
        )
        if compiled:
            self.model = torch.compile(self.model, dynamic=dynamic)
        # Compiling takes its time before the service is there, not in the first answers.
        for count in (2, 1):
            self.probabilities(torch.zeros(count, 3, *size))

    def read(self, data):
        return self.transform(Image.open(io.BytesIO(data)).convert("RGB"))

    def probabilities(self, images):
        with torch.inference_mode():
            return torch.softmax(self.model(images) / self.temperature, dim=1)

    def answer(self, row, seconds):
        best = int(row.argmax())
        return {
            "predicted_class": best,
            "predicted_label": self.classes[best],
            "confidence": float(row[best]),
            "inference_time_seconds": seconds,
            "all_probabilities": dict(zip(self.classes, row.tolist())),
        }
