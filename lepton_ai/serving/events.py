"""What the server tells whoever listens. Listeners run on the server's loop: they must be quick, or copy and go."""

from collections.abc import Mapping

import msgspec

from lepton_ai.bundle import Array


class RequestFinished(msgspec.Struct, frozen=True, kw_only=True):
    """One infer request was answered. `status` is HTTP's, 499 if the client was gone before it was computed.

    `seconds` is all of it from the arrival of the headers; `queue_seconds` and `compute_seconds` are parts of it,
    0 if it never came to that. `rows` is its own number of rows.
    """

    model: str
    version: str
    status: int
    seconds: float
    queue_seconds: float = 0.0
    compute_seconds: float = 0.0
    rows: int = 0


class BatchRan(msgspec.Struct, frozen=True, kw_only=True):
    """One batch was computed. `inputs` and `outputs` are its tensors, empty if it failed; they must not be changed."""

    model: str
    version: str
    requests: int
    rows: int
    seconds: float
    failed: int
    inputs: Mapping[str, Array]
    outputs: Mapping[str, Array]
