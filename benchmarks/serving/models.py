"""What is served: an MLP of microseconds, and a network for pictures of 8 to 10 ms."""

from pathlib import Path

import numpy as np

from benchmarks.serving.measures import FEATURES, PICTURE
from lepton_ai.bundle import Signature, TensorSpec
from tests.contracts.bundles import write_bundle
from tests.contracts.graphs import graph, mlp_graph, node

# Filters and strides of each convolution.
CONVOLUTIONS = ((32, 2), (64, 1), (96, 2), (128, 2), (192, 2))
CLASSES = 10


def write_models(folder: Path) -> None:
    """Both, each as a bundle and as the file that other servers load."""
    mlp, sign = mlp_graph((FEATURES, 256, 256, 2))
    for name, content, signature in (("mlp", mlp, sign), ("image", *picture_graph())):
        (folder / f"{name}.onnx").write_bytes(content)
        write_bundle(folder / f"{name}.lepton", name=name, sign=signature, graphs={"fp32": content})


def picture_graph() -> tuple[bytes, Signature]:
    """Convolutions of 3 by 3, a mean over the cells, and classes."""
    sign = Signature(
        inputs=(TensorSpec(name="x", dtype="FP32", shape=(-1, *PICTURE)),),
        outputs=(TensorSpec(name="y", dtype="FP32", shape=(-1, CLASSES)),),
    )
    random, weights, nodes = np.random.default_rng(0), {}, []
    channels, last = PICTURE[0], "x"
    for number, (filters, stride) in enumerate(CONVOLUTIONS):
        kernel = random.standard_normal((filters, channels, 3, 3), np.float32) / np.sqrt(9 * channels)
        weights[f"k{number}"] = kernel.astype(np.float32)
        nodes += [
            node("Conv", f"{last} k{number}", f"c{number}", strides=[stride, stride], pads=[1, 1, 1, 1]),
            node("Relu", f"c{number}", f"r{number}"),
        ]
        channels, last = filters, f"r{number}"
    weights["w"] = (random.standard_normal((channels, CLASSES), np.float32) / np.sqrt(channels)).astype(np.float32)
    nodes += [node("GlobalAveragePool", last, "m"), node("Flatten", "m", "f"), node("MatMul", "f w", "y")]
    return graph(nodes, sign, **weights), sign
