"""A model behind FastAPI, as its users write it: a handler that runs the session.

python -m benchmarks.serving.fastapi_server PORT MODEL.onnx
"""

import sys

import numpy as np
import onnxruntime
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel

options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
session = onnxruntime.InferenceSession(sys.argv[2], options, providers=["CPUExecutionProvider"])
app = FastAPI()


class Rows(BaseModel):
    """What is sent."""

    x: list[list[float]]


class Scores(BaseModel):
    """What comes back."""

    y: list[list[float]]


@app.get("/health")
async def health() -> dict[str, bool]:
    """Whether it answers."""
    return {"live": True}


@app.post("/predict")
async def predict(rows: Rows) -> Scores:
    """One run for each request, on the loop: nothing waits for a thread."""
    (scores,) = session.run(["y"], {"x": np.asarray(rows.x, np.float32)})
    return Scores(y=scores.tolist())


@app.post("/predict_in_thread")
def predict_in_thread(rows: Rows) -> Scores:
    """One run for each request, in a thread of FastAPI's pool."""
    (scores,) = session.run(["y"], {"x": np.asarray(rows.x, np.float32)})
    return Scores(y=scores.tolist())


if __name__ == "__main__":
    uvicorn.run(
        app,
        host="127.0.0.1",
        port=int(sys.argv[1]),
        http="httptools",
        loop="uvloop",
        log_level="error",
        access_log=False,
    )
