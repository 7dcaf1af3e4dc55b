"""FastAPI and PyTorch, as such services are usually written: python fastapi_service.py BUNDLE NETWORK eager|compiled PORT.

One uvicorn worker, one endpoint, one image at a time.
"""

import sys
import time

import torch
import uvicorn
from fastapi import FastAPI, File, UploadFile
from network import Served

bundle, network, mode, port = sys.argv[1:]
served = Served(bundle, network, mode == "compiled")
app = FastAPI()


@app.get("/health")
def health():
    return {"status": "healthy", "torch": torch.__version__, "threads": torch.get_num_threads()}


@app.post("/predict")
async def predict(file: UploadFile = File(...)):
    started = time.time()
    probabilities = served.probabilities(served.read(await file.read()).unsqueeze(0))
    return served.answer(probabilities[0], time.time() - started)


uvicorn.run(app, host="127.0.0.1", port=int(port), log_level="warning", access_log=False)
