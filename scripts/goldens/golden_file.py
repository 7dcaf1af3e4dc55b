"""Golden files: NAME.json names arrays by offset (in elements), type and shape; NAME.bin holds them, little-endian."""

import json
import os

import numpy as np


class GoldenFile:
    def __init__(self, path, header):
        self.path, self.header = path, header
        self.arrays, self.cases, self.bytes = [], [], 0

    def add(self, array):
        """Stores float data as float32 and integers as int32; returns what the index says about it."""
        array = np.asarray(array)
        kind = "int32" if array.dtype.kind in "iu" else "float32"
        data = np.ascontiguousarray(array.astype("<i4" if kind == "int32" else "<f4"))
        entry = {"dtype": kind, "shape": list(array.shape), "offset": self.bytes // 4}
        self.arrays.append(data)
        self.bytes += data.nbytes
        return entry

    def write(self, content):
        os.makedirs(os.path.dirname(self.path), exist_ok=True)
        with open(self.path + ".bin", "wb") as file:
            for array in self.arrays:
                file.write(array.tobytes())
        with open(self.path + ".json", "w") as file:
            json.dump({**self.header, **content}, file, separators=(",", ":"))
            file.write("\n")
        print(f"{self.path}: {self.bytes / 1e6:.2f} MB")
