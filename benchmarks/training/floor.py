"""What the hardware would need at least: operations over its matrix rate, bytes over its copy bandwidth.

Operations are those of matrix products and convolutions, forwards and backwards, counted in torch's model. Bytes are
an estimate from below, of float32 alone: each weight moves ten times in a step (read forwards and backwards, its
gradient written, Adam reads weight, gradient and two moments and writes weight and two moments), each output of a
layer five times (written and read forwards, read again backwards, its gradient written and read). Caches make both
cheaper, and nothing reaches both rates at once: the larger of the two times is a bound that no peer comes near.
"""

import time
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.training import torch_models
from benchmarks.training.workloads import WORKLOADS

SIZES, REPEATS = (512, 1_024, 2_048, 4_096), 5
COPIED = 2**28
WEIGHT_MOVES, OUTPUT_MOVES, FLOAT = 10, 5, 4


def rates() -> dict[str, float]:
    """The best of several matrix products, in operations per second, and of several copies, in bytes per second."""
    products = {}
    for size in SIZES:
        a, b = torch.rand(size, size), torch.rand(size, size)
        products[size] = 2 * size**3 / _best(a, b)
    source, target = torch.zeros(COPIED, dtype=torch.uint8), torch.zeros(COPIED, dtype=torch.uint8)
    copies = []
    for _ in range(REPEATS):
        started = time.perf_counter()
        target.copy_(source)
        copies.append(time.perf_counter() - started)
    return {"operations_per_second": max(products.values()), "bytes_per_second": 2 * COPIED / min(copies)}


def better(one: dict[str, float], other: dict[str, float]) -> dict[str, float]:
    """The higher of each rate.

    Example:
        >>> better({"a": 1.0}, {"a": 2.0, "b": 3.0})
        {'a': 2.0, 'b': 3.0}
    """
    return {name: max(rate, one.get(name, 0.0)) for name, rate in other.items()}


def needs(name: str) -> dict[str, float]:
    """Operations and bytes of one sample in a training step."""
    model, workload = torch_models.build(name).train(), WORKLOADS[name]
    x, y = example(name)
    elements = 0

    def watch(_: nn.Module, __: Any, output: Any) -> None:
        nonlocal elements
        elements += (output[0] if isinstance(output, tuple) else output).numel()

    for part in model.modules():
        if not list(part.children()):
            part.register_forward_hook(watch)
    lstm = {torch.ops.aten.mkldnn_rnn_layer: _lstm, torch.ops.aten.mkldnn_rnn_layer_backward: _lstm_backward}
    # Fused attention is counted as the two products that it is.
    with FlopCounterMode(display=False, custom_mapping=lstm) as counter, sdpa_kernel(SDPBackend.MATH):
        torch_models.loss(name, model(x), y).backward()  # type: ignore[no-untyped-call]
    moved = WEIGHT_MOVES * torch_models.trained(model) + OUTPUT_MOVES * elements
    return {
        "operations_per_sample": counter.get_total_flops() / workload.batch,
        "bytes_per_sample": FLOAT * moved / workload.batch,
    }


def example(name: str) -> tuple[Tensor, Tensor]:
    """One batch for torch's model."""
    workload = WORKLOADS[name]
    shape = (workload.batch, *workload.shape)
    x = torch.zeros(shape, dtype=torch.int64) if workload.tokens else torch.rand(shape)
    y = torch.zeros(workload.batch, 1) if workload.binary else torch.zeros(workload.batch, dtype=torch.int64)
    return (x.permute(0, 3, 1, 2).contiguous() if x.ndim == 4 else x), y


def distance(samples_per_second: float, rates: dict[str, float], needs: dict[str, float]) -> dict[str, Any]:
    """The two times for one sample, and how many times the larger one was taken."""
    compute = needs["operations_per_sample"] / rates["operations_per_second"]
    memory = needs["bytes_per_sample"] / rates["bytes_per_second"]
    return {
        **needs,
        "bound": "operations" if compute >= memory else "bytes",
        "compute_seconds": compute,
        "memory_seconds": memory,
        "distance": 1 / samples_per_second / max(compute, memory),
    }


def _best(a: Tensor, b: Tensor) -> float:
    taken = []
    for _ in range(REPEATS):
        started = time.perf_counter()
        a @ b
        taken.append(time.perf_counter() - started)
    return min(taken)


def _lstm(x: Any, weight: Any, recurrent: Any, *_: Any, **__: Any) -> int:
    """From the shapes of x, which has steps and rows first, and of the two matrices."""
    return int(2 * x[0] * x[1] * (weight[0] * weight[1] + recurrent[0] * recurrent[1]))


def _lstm_backward(*shapes: Any, **options: Any) -> int:
    """The gradients of inputs and of weights: two products for each one forwards."""
    return 2 * _lstm(*shapes, **options)
