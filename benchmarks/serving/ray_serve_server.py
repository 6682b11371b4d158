"""The same model behind Ray Serve, batched by it or not.

python -m benchmarks.serving.ray_serve_server PORT MODEL.onnx MAX_BATCH BATCH_SECONDS
"""

import os
import sys
import tempfile
import threading
from typing import Any

import numpy as np
import onnxruntime
import ray
from ray import serve
from starlette.requests import Request

PORT, GRAPH, MOST, SECONDS = int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), float(sys.argv[4])


@serve.deployment(num_replicas=1, max_ongoing_requests=256, ray_actor_options={"num_cpus": 1})
class Mlp:
    """What Ray Serve asks of a model."""

    def __init__(self, graph: str, batched: bool) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session, self.batched = onnxruntime.InferenceSession(graph, options), batched

    @serve.batch(max_batch_size=max(1, MOST), batch_wait_timeout_s=SECONDS)
    async def together(self, rows: list[Any]) -> list[Any]:
        """A run for a batch."""
        (scores,) = self.session.run(["y"], {"x": np.asarray(rows, np.float32)})
        return list(scores.tolist())

    async def __call__(self, request: Request) -> dict[str, Any]:
        """One request."""
        rows = (await request.json())["x"]
        if self.batched:
            return {"y": [await self.together(rows[0])]}
        (scores,) = self.session.run(["y"], {"x": np.asarray(rows, np.float32)})
        return {"y": scores.tolist()}


def main() -> None:
    """Serve until the process is ended."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    with tempfile.TemporaryDirectory(prefix="ray-") as place:
        ray.init(num_cpus=4, include_dashboard=False, _temp_dir=place, logging_level="error")
        serve.start(http_options=serve.HTTPOptions(host="127.0.0.1", port=PORT))
        serve.run(Mlp.bind(GRAPH, MOST > 1), route_prefix="/predict", logging_config={"enable_access_log": False})
        threading.Event().wait()


if __name__ == "__main__":
    main()
