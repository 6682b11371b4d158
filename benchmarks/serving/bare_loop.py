"""The session alone, one run after the other: what the model takes.

python -m benchmarks.serving.bare_loop MODEL.onnx SECONDS < ROW
"""

import json
import statistics
import sys
import time

import numpy as np
import onnxruntime


def main() -> None:
    """Run the row again and again, and print the runs a second and their median."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])
    (wanted,) = session.get_inputs()
    x = np.frombuffer(sys.stdin.buffer.read(), np.float32).reshape(1, *wanted.shape[1:])
    for _ in range(5):
        session.run(None, {wanted.name: x})
    taken: list[float] = []
    began = time.perf_counter()
    while time.perf_counter() - began < float(sys.argv[2]):
        before = time.perf_counter()
        session.run(None, {wanted.name: x})
        taken.append(time.perf_counter() - before)
    print(json.dumps({"per_second": len(taken) / (time.perf_counter() - began), "p50": statistics.median(taken)}))


if __name__ == "__main__":
    main()
