"""The counters in Prometheus' text format; those that Triton has too also by its names, so that its boards work."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from lepton_ai.serving import ledger

Rows = Mapping[tuple[str, str], Sequence[float]]

_MICRO = 1e6


def render_metrics(rows: Rows, *, workers: int = 1, restarts: int = 0, ready: bool = True) -> bytes:
    """All metrics. `rows` are those of the ledger; labels are model, version and outcome, and nothing that a client
    chooses.
    """
    models = {key: row for key, row in sorted(rows.items()) if key != ("", "")}
    edge = rows.get(("", ""))
    lines: list[str] = []
    lines += _family("lepton_ready", "gauge", "Whether requests should be sent here.", [("", float(ready))])
    lines += _family("lepton_workers", "gauge", "Processes that answer.", [("", workers)])
    lines += _family("lepton_worker_restarts_total", "counter", "Processes that were replaced.", [("", restarts)])
    connections = edge[ledger.IN_FLIGHT] if edge else 0.0
    lines += _family("lepton_http_connections", "gauge", "Open connections.", [("", connections)])
    refused = [(_labels(outcome=name), edge[index]) for index, name in enumerate(ledger.OUTCOMES) if edge and index]
    lines += _family("lepton_http_refused_total", "counter", "Refused before they had a model.", refused)
    lines += _family("lepton_requests_total", "counter", "Finished infer requests.", _outcomes(models))
    for name, index, text in _GAUGES:
        lines += _family(name, "gauge", text, [(_of(key), row[index]) for key, row in models.items()])
    for name, index, text in _COUNTERS:
        lines += _family(name, "counter", text, [(_of(key), row[index]) for key, row in models.items()])
    for name, histogram, text, total in _HISTOGRAMS:
        lines += _histogram(name, text, histogram, total, models)
    for name, indices, scale, text in _TRITON:
        values = [(_of(key), scale * sum(row[index] for index in indices)) for key, row in models.items()]
        lines += _family(name, "counter", text, values)
    return ("\n".join(lines) + "\n").encode()


_GAUGES = (
    ("lepton_waiting_requests", ledger.WAITING, "Requests in the queue."),
    ("lepton_waiting_bytes", ledger.WAITING_BYTES, "Bytes of the requests in the queue."),
    ("lepton_in_flight_requests", ledger.IN_FLIGHT, "Requests that are not answered yet."),
)
_COUNTERS = (
    ("lepton_computed_rows_total", ledger.COMPUTED_ROWS, "Rows that were computed."),
    ("lepton_batches_total", ledger.BATCHES, "Batches that were computed."),
)
_HISTOGRAMS = (
    ("lepton_request_seconds", "request", "From a request's arrival to its answer.",
     (ledger.OK_SECONDS, ledger.FAIL_SECONDS)),
    ("lepton_queue_seconds", "queue", "In the queue.", (ledger.QUEUE_SECONDS,)),
    ("lepton_compute_seconds", "compute", "In the batch that a request was part of.",
     (ledger.COMPUTE_SECONDS,)),
    ("lepton_batch_rows", "batch", "Rows of a batch.", (ledger.COMPUTED_ROWS,)),
)  # fmt: skip
_FAILED = tuple(range(1, len(ledger.OUTCOMES)))
_TRITON = (
    ("nv_inference_request_success", (0,), 1, "Answered requests."),
    ("nv_inference_request_failure", _FAILED, 1, "Requests that failed."),
    ("nv_inference_count", (ledger.COMPUTED_ROWS,), 1, "Rows that were computed."),
    ("nv_inference_exec_count", (ledger.BATCHES,), 1, "Batches that were computed."),
    ("nv_inference_pending_request_count", (ledger.WAITING,), 1, "Requests in the queue."),
    ("nv_inference_request_duration_us", (ledger.OK_SECONDS, ledger.FAIL_SECONDS), _MICRO, "Time of all requests."),
    ("nv_inference_queue_duration_us", (ledger.QUEUE_SECONDS,), _MICRO, "Time in the queue."),
    ("nv_inference_compute_input_duration_us", (ledger.MERGE_SECONDS,), _MICRO, "Time to make batches."),
    ("nv_inference_compute_infer_duration_us", (ledger.RUN_SECONDS,), _MICRO, "Time in the model."),
    ("nv_inference_compute_output_duration_us", (ledger.SPLIT_SECONDS,), _MICRO, "Time to take batches apart."),
)


def _family(name: str, kind: str, text: str, values: Iterable[tuple[str, float]]) -> Iterator[str]:
    if name == "nv_inference_pending_request_count":
        kind = "gauge"
    yield f"# HELP {name} {text}"
    yield f"# TYPE {name} {kind}"
    for labels, value in values:
        yield f"{name}{labels} {_number(value)}"


def _outcomes(models: Rows) -> Iterator[tuple[str, float]]:
    for (model, version), row in models.items():
        for index, outcome in enumerate(ledger.OUTCOMES):
            yield _labels(model=model, version=version, outcome=outcome), row[index]


def _histogram(name: str, text: str, histogram: str, total: tuple[int, ...], models: Rows) -> Iterator[str]:
    start, edges = ledger.HISTOGRAMS[histogram]
    yield f"# HELP {name} {text}"
    yield f"# TYPE {name} histogram"
    for (model, version), row in models.items():
        passed = 0.0
        for offset, edge in enumerate((*edges, float("inf"))):
            passed += row[start + offset]
            bound = "+Inf" if edge == float("inf") else f"{edge:g}"
            yield f"{name}_bucket{_labels(model=model, version=version, le=bound)} {_number(passed)}"
        value = sum(row[index] for index in total)
        yield f"{name}_sum{_of((model, version))} {_number(value)}"
        yield f"{name}_count{_of((model, version))} {_number(passed)}"


def _of(key: tuple[str, str]) -> str:
    return _labels(model=key[0], version=key[1])


def _labels(**labels: str) -> str:
    return "{" + ",".join(f'{name}="{_escape(value)}"' for name, value in labels.items()) + "}"


def _escape(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def _number(value: float) -> str:
    return str(int(value)) if float(value).is_integer() else repr(float(value))
