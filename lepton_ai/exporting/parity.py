"""The proof that a graph answers as the model does."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from lepton_ai.bundle import Array, Parity
from lepton_ai.core import DataError
from lepton_ai.models import Model, as_array, named_inputs, named_outputs, sample_inputs
from lepton_ai.runtime import Runtime

BATCH_SIZES = (1, 2, 3, 7)
FREE_SIZES = (32, 40)  # along other free axes, in turn: what tracing fixed by accident shows
# float32 sums in another order: a few units in the last place of outputs of size 1, more of larger ones
TOLERANCE = 1e-4


def prove(
    model: Model, runtime: Runtime, batch_sizes: Sequence[int] = BATCH_SIZES, tolerance: float = TOLERANCE
) -> Parity:
    """Run both on the same rows at several batch sizes and compare.

    The difference is absolute for outputs up to 1 and relative beyond.

    Raises: DataError naming the output, the batch size and the difference, if they do not agree.
    """
    worst = 0.0
    for number, rows in enumerate(batch_sizes):
        x = sample_inputs(model, rows, free=FREE_SIZES[number % 2])
        wanted = answers(model, x)
        got = runtime.run(arrays(model, x))
        for name, expected in wanted.items():
            difference = distance(got[name], expected)
            worst = max(worst, difference)
            if not difference <= tolerance:
                raise DataError(
                    f"the exported graph differs from the model by {difference:.3g} in {name!r} at batch size {rows}",
                    at=f"export of {model.label}",
                    expected=f"at most {tolerance:g}",
                    fix="Look for operations whose result depends on the batch, on randomness or on float64.",
                )
    return Parity(batch_sizes=tuple(batch_sizes), max_difference=worst, tolerance=tolerance)


def arrays(model: Model, x: Any) -> dict[str, Array]:
    """Inputs by name, as a runtime takes them."""
    return {name: as_array(value) for name, value in named_inputs(model, x).items()}


@torch.no_grad()
def answers(model: Model, x: Any) -> dict[str, Array]:
    """The model's own answers by name."""
    return {name: value.numpy() for name, value in named_outputs(model, model(x, training=False)).items()}


def distance(got: Array, expected: Array) -> float:
    """The largest difference, absolute up to 1 and relative beyond; infinite if shapes, NaN or whole numbers differ."""
    if got.shape != expected.shape or got.dtype != expected.dtype:
        return float("inf")
    if got.dtype.kind != "f":
        return 0.0 if np.array_equal(got, expected) else float("inf")
    a, b = got.astype(np.float64), expected.astype(np.float64)
    finite = np.isfinite(a) & np.isfinite(b)
    if not np.array_equal(a[~finite], b[~finite], equal_nan=True):
        return float("inf")
    a, b = a[finite], b[finite]
    return float((np.abs(a - b) / np.maximum(1.0, np.abs(b))).max(initial=0.0))
