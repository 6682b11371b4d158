"""Golden pairs replayed: does this runtime, on this machine, still answer what was promised?"""

import contextlib
import math
import time

import numpy as np

from lepton_ai.bundle import Array, Bundle, decode_request, decode_response, numpy_dtype
from lepton_ai.core import BundleError, DataError
from lepton_ai.runtime.base import Runtime

GOLDEN_TOLERANCE = 1e-4


def replay_golden(bundle: Bundle, runtime: Runtime, *, tolerance: float = GOLDEN_TOLERANCE) -> float:
    """Run every golden request and compare with its answer; give back the largest difference found (0.0 without pairs).

    Numbers may differ by `tolerance` absolutely or relatively; whole numbers and strings not at all.

    Raises: BundleError that names the pair and the output.
    """
    largest = 0.0
    for index, (request, response) in enumerate(bundle.golden()):
        expected = decode_response(response).outputs
        got = runtime.run(decode_request(request).inputs)
        for name, wanted in expected.items():
            at = f"{bundle.path}: golden pair {index}, output {name!r}"
            if name not in got or got[name].shape != wanted.shape or got[name].dtype != wanted.dtype:
                raise BundleError(
                    "the answer is of another kind", at=at, got=_kind(got.get(name)), expected=_kind(wanted)
                )
            difference = _difference(wanted, got[name])
            if difference > tolerance:
                raise BundleError(
                    f"differs by {difference:.3g} from the stored answer",
                    at=at,
                    expected=f"at most {tolerance:.3g}",
                    fix="This machine or version computes differently. Export the model again here, and compare.",
                )
            largest = max(largest, difference)
    return largest


def warm_up(runtime: Runtime) -> None:
    """Run once, on one row of zeros and empty strings, so that the first user does not wait for what is made lazily.

    Inputs that mean nothing to the model are not a fault of it: DataError is passed over.
    """
    with contextlib.suppress(DataError):
        runtime.run(_blank(runtime, 1))


def time_rows(runtime: Runtime, rows: int, *, repeats: int = 3) -> float:
    """The shortest time, in seconds, of a run on so many rows of zeros and empty strings; infinite if the model refuses
    those, or has no rows.
    """
    if not all(spec.shape and spec.shape[0] == -1 for spec in runtime.signature.inputs):
        return math.inf
    feed = _blank(runtime, rows)
    best = math.inf
    try:
        for _ in range(repeats):
            started = time.perf_counter()
            runtime.run(feed)
            best = min(best, time.perf_counter() - started)
    except DataError:
        return math.inf
    return best


def _blank(runtime: Runtime, rows: int) -> dict[str, Array]:
    feed = {}
    for spec in runtime.signature.inputs:
        shape = [1 if size == -1 else size for size in spec.shape]
        if spec.shape and spec.shape[0] == -1:
            shape[0] = rows
        feed[spec.name] = np.full(shape, "" if spec.dtype == "BYTES" else 0, numpy_dtype(spec.dtype))
    return feed


def _kind(array: Array | None) -> str:
    return "nothing" if array is None else f"{array.dtype} of shape {list(array.shape)}"


def _difference(wanted: Array, got: Array) -> float:
    """The largest |wanted - got| / max(1, |wanted|); infinite where NaN, a whole number or a string differs."""
    if wanted.dtype.kind != "f":
        same = _text(wanted) == _text(got) if wanted.dtype.kind == "O" else np.array_equal(wanted, got)
        return 0.0 if same else float("inf")
    wide, other = wanted.astype(np.float64), got.astype(np.float64)
    apart = ~((wide == other) | (np.isnan(wide) & np.isnan(other)))
    if not apart.any():
        return 0.0
    with np.errstate(invalid="ignore"):
        relative = np.abs(wide[apart] - other[apart]) / np.maximum(1.0, np.abs(wide[apart]))
    return float(relative.max()) if np.isfinite(relative).all() else float("inf")


def _text(array: Array) -> list[str]:
    return [x if isinstance(x, str) else x.decode("utf-8", "backslashreplace") for x in array.ravel().tolist()]
