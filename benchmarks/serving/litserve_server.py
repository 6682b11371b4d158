"""The same model behind LitServe, batched by it.

python -m benchmarks.serving.litserve_server PORT MODEL.onnx MAX_BATCH BATCH_SECONDS
"""

import sys
from typing import Any

import litserve
import numpy as np
import onnxruntime


class Api(litserve.LitAPI):  # type: ignore[misc]
    """What LitServe asks of a model."""

    def setup(self, device: str) -> None:
        """In the worker."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(sys.argv[2], options, providers=["CPUExecutionProvider"])

    def decode_request(self, request: dict[str, Any]) -> Any:
        """One request's rows."""
        return np.asarray(request["x"], np.float32)[0]

    def batch(self, inputs: list[Any]) -> Any:
        """Rows together."""
        return np.stack(inputs)

    def predict(self, x: Any) -> Any:
        """A run for a batch; without batching, for one row."""
        (scores,) = self.session.run(["y"], {"x": x if x.ndim == 2 else x[None]})
        return scores if x.ndim == 2 else scores[0]

    def unbatch(self, output: Any) -> list[Any]:
        """Rows apart."""
        return list(output)

    def encode_response(self, output: Any) -> dict[str, Any]:
        """One answer."""
        return {"y": [output.tolist()]}


if __name__ == "__main__":
    most, seconds = int(sys.argv[3]), float(sys.argv[4])
    api = Api(max_batch_size=most, batch_timeout=seconds, enable_async=False)
    server = litserve.LitServer(api, accelerator="cpu", workers_per_device=1, track_requests=False, fast_queue=True)
    server.run(
        host="127.0.0.1", port=int(sys.argv[1]), num_api_servers=1, generate_client_file=False, log_level="error"
    )
