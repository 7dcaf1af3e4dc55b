"""LitServe and PyTorch with batches: python litserve_service.py BUNDLE NETWORK eager|compiled PORT."""

import sys
import time

import litserve
import torch
from fastapi import UploadFile
from network import Served

bundle, network, mode, port = sys.argv[1:]


class Api(litserve.LitAPI):
    def setup(self, device):
        self.served = Served(bundle, network, mode == "compiled", dynamic=True)

    def decode_request(self, request: UploadFile):
        return self.served.read(request.file.read())

    def batch(self, inputs):
        return torch.stack(inputs)

    def predict(self, images):
        started = time.time()
        probabilities = self.served.probabilities(images)
        seconds = time.time() - started
        return [(row, seconds) for row in probabilities]

    def unbatch(self, output):
        return output

    def encode_response(self, output):
        return self.served.answer(*output)


if __name__ == "__main__":
    api = Api(max_batch_size=32, batch_timeout=0.005)
    server = litserve.LitServer(api, accelerator="cpu", workers_per_device=1, timeout=60)
    server.run(host="127.0.0.1", port=int(port), log_level="warning", generate_client_file=False)
