"""What the server tells whoever listens. Listeners run on the server's loop: they must be quick, or copy and go."""

from collections.abc import Mapping

import msgspec

from lepton_ai.bundle import Array


class RequestFinished(msgspec.Struct, frozen=True, kw_only=True):
    """One infer request was answered. `status` is HTTP's, whatever the transport; 499 if the client was gone.

    `seconds` is all of it from its arrival; `queue_seconds` and `compute_seconds` are parts of it, 0 if it never came
    to that. `rows` is its own number of rows. `id` is the request's own, `trace` the trace that it is part of.
    """

    model: str
    version: str
    status: int
    seconds: float
    queue_seconds: float = 0.0
    compute_seconds: float = 0.0
    rows: int = 0
    id: str = ""
    trace: str = ""


class BatchRan(msgspec.Struct, frozen=True, kw_only=True):
    """One batch was computed in `seconds`, of which `merge_seconds` went into putting requests together and
    `split_seconds` into taking the answer apart. `inputs` and `outputs` are its tensors, empty if it failed; they
    must not be changed.
    """

    model: str
    version: str
    requests: int
    rows: int
    seconds: float
    failed: int
    merge_seconds: float = 0.0
    split_seconds: float = 0.0
    inputs: Mapping[str, Array]
    outputs: Mapping[str, Array]
