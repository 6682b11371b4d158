"""The same model behind BentoML, batched by it or not.

MODEL=MODEL.onnx MAX_BATCH=64 BATCH_MILLISECONDS=10 python -m bentoml serve benchmarks.serving.bentoml_server:Mlp
"""

import os

import bentoml
import numpy as np
import numpy.typing as npt
import onnxruntime

MOST = int(os.environ["MAX_BATCH"])
Rows = npt.NDArray[np.float32]


@bentoml.service(name="mlp", workers=1)  # type: ignore[untyped-decorator]
class Mlp:
    """What BentoML asks of a model."""

    def __init__(self) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(os.environ["MODEL"], options, providers=["CPUExecutionProvider"])

    if MOST > 1:

        @bentoml.api(  # type: ignore[untyped-decorator]
            batchable=True, max_batch_size=MOST, max_latency_ms=int(os.environ["BATCH_MILLISECONDS"])
        )
        def predict(self, x: np.ndarray) -> np.ndarray:
            """A run for a batch."""
            (scores,) = self.session.run(["y"], {"x": x.astype(np.float32)})
            return np.asarray(scores)

    else:

        @bentoml.api  # type: ignore[untyped-decorator]
        async def predict(self, x: np.ndarray) -> np.ndarray:
            """A run for each request; async, so that none waits for a thread."""
            (scores,) = self.session.run(["y"], {"x": x.astype(np.float32)})
            return np.asarray(scores)
