"""The same model behind MLServer, batched by it or not.

python -m benchmarks.serving.mlserver_server PORT MODEL.onnx MAX_BATCH BATCH_SECONDS
"""

import json
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnxruntime
from mlserver import MLModel
from mlserver.cli.main import main as mlserver
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse

from benchmarks.serving.servers import free_port


class Mlp(MLModel):  # type: ignore[misc]
    """What MLServer asks of a model."""

    async def load(self) -> bool:
        """Once, before requests."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        place = self.settings.parameters.uri
        self.session = onnxruntime.InferenceSession(place, options, providers=["CPUExecutionProvider"])
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """A run for a request, or for several that MLServer joined."""
        x = NumpyCodec.decode_input(payload.inputs[0]).astype(np.float32)
        (scores,) = self.session.run(["y"], {"x": x})
        return InferenceResponse(model_name=self.name, outputs=[NumpyCodec.encode_output("y", np.asarray(scores))])


def main() -> None:
    """Write the settings that MLServer reads from a folder, and start it there."""
    port, graph, most, seconds = sys.argv[1:5]
    with tempfile.TemporaryDirectory() as place:
        settings = {
            "host": "127.0.0.1",
            "http_port": int(port),
            "grpc_port": free_port(),
            "metrics_endpoint": None,
            "parallel_workers": 0,
            "debug": False,
        }
        model = {
            "name": "mlp",
            "implementation": "benchmarks.serving.mlserver_server.Mlp",
            "max_batch_size": int(most),
            "max_batch_time": float(seconds),
            "parameters": {"uri": graph},
        }
        (Path(place) / "settings.json").write_text(json.dumps(settings))
        (Path(place) / "model-settings.json").write_text(json.dumps(model))
        sys.argv[:] = ["mlserver", "start", place]
        mlserver()


if __name__ == "__main__":
    main()
