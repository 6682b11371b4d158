"""Counters in shared memory, and what Prometheus and the live page make of them."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lepton_ai.serving import ledger
from lepton_ai.serving.live import difference
from lepton_ai.serving.metrics import render_metrics

LINE = re.compile(r'([a-z_]+)(\{([a-z]+="(?:[^"\\]|\\.)*",?)*\})? (-?[0-9.e+-]+|\+Inf)')


def filled(memory: memoryview | None = None, *, model: str = "digits") -> ledger.Ledger:
    made = ledger.Ledger(memory)
    row = made.row(model, "1")
    for status, seconds in ((200, 0.003), (200, 0.03), (400, 0.0001), (503, 0.0001), (504, 0.1), (499, 0.1), (500, 1)):
        ledger.count_request(row, status, seconds, 0.001, 0.002)
    ledger.count_batch(row, 5, 0.1, 0.5, 0.2)
    return made


def test_rows_of_several_processes_add_up() -> None:
    blocks = [memoryview(bytearray(ledger.SIZE)) for _ in range(3)]
    for block in blocks[:2]:
        filled(block)
    filled(blocks[2], model="other")
    rows = ledger.read_rows(blocks)
    assert rows["digits", "1"][0] == 4 and rows["other", "1"][0] == 2
    assert rows["digits", "1"][ledger.COMPUTED_ROWS] == 10
    assert [rows["other", "1"][index] for index in range(6)] == [2, 1, 1, 1, 1, 1]


def test_more_models_than_rows_are_counted_together() -> None:
    made = ledger.Ledger()
    for number in range(ledger.ROWS + 50):
        made.row(f"model-{number}", "1")[0] += 1
    rows = ledger.read_rows([made.memory])
    assert len(rows) == ledger.ROWS and sum(row[0] for row in rows.values()) == ledger.ROWS + 50


def test_the_text_is_prometheus_format() -> None:
    made = filled(model='odd"\\\nname')
    text = render_metrics(ledger.read_rows([made.memory]), workers=2, restarts=1).decode()
    types = dict(re.findall(r"# TYPE (\S+) (\S+)", text))
    for line in text.splitlines():
        if not line.startswith("#"):
            found = LINE.fullmatch(line)
            assert found, line
            family = re.sub(r"_(bucket|sum|count)$", "", found[1])
            assert found[1] in types or types[family] == "histogram"
    assert text.endswith("\n") and "lepton_workers 2" in text and 'outcome="late"} 1' in text


def test_histograms_are_cumulative() -> None:
    text = render_metrics(ledger.read_rows([filled().memory])).decode()
    labels = 'model="digits",version="1"'
    counts = [int(each) for each in re.findall(rf"lepton_request_seconds_bucket{{{labels},le=\S+}} (\d+)", text)]
    assert counts == sorted(counts) and counts[-1] == 7
    assert f"lepton_request_seconds_count{{{labels}}} 7" in text and f"lepton_batch_rows_sum{{{labels}}} 5" in text
    assert (
        f"nv_inference_request_success{{{labels}}} 2" in text and f"nv_inference_request_failure{{{labels}}} 5" in text
    )
    assert f"nv_inference_compute_infer_duration_us{{{labels}}} 500000" in text


@given(values=st.lists(st.floats(0, 40), min_size=1, max_size=50), share=st.sampled_from([0.5, 0.95, 0.99]))
@settings(max_examples=50, deadline=None)
def test_percentiles_lie_in_the_bucket_of_the_true_one(values: list[float], share: float) -> None:
    row = ledger.Ledger().row("m", "1")
    for value in values:
        ledger.count_request(row, 200, value, 0, 0)
    start, edges = ledger.HISTOGRAMS["request"]
    found = ledger.quantile(row[start : start + len(edges) + 1].tolist(), edges, share)
    ordered = sorted(values)
    true = ordered[min(len(ordered) - 1, max(0, -(-int(share * 1e6) * len(ordered) // 10**6) - 1))]
    below = [edge for edge in edges if edge < true]
    above = [edge for edge in edges if edge >= true]
    assert (below[-1] if below else 0.0) <= found <= (above[0] if above else edges[-1])


def test_what_happened_in_a_second() -> None:
    before = ledger.read_rows([filled().memory])
    made = filled()
    for _ in range(10):
        ledger.count_request(made.row("digits", "1"), 200, 0.0015, 0, 0)
    ledger.count_batch(made.row("digits", "1"), 10, 0, 0, 0)
    states = [{"name": "digits", "version": "1", "state": "READY"}, {"name": "new", "version": "2", "state": "LOADING"}]
    tick = difference(ledger.read_rows([made.memory]), before, 2.0, states)
    assert tick["total"]["rate"] == 5 and tick["total"]["batch"] == 10 and tick["total"]["failed"] == 0
    assert 0.001 < tick["total"]["p50"] < 0.002
    digits, new = tick["models"]
    assert (digits["answered"], digits["errors"], digits["state"]) == (12, 5, "READY")
    assert new["state"] == "LOADING" and new["rate"] == 0


@pytest.mark.parametrize(
    ("status", "outcome"),
    [(200, "ok"), (400, "invalid"), (413, "invalid"), (429, "rejected"), (503, "rejected"), (504, "late"),
     (499, "cancelled"), (500, "failed")],
)  # fmt: skip
def test_outcomes(status: int, outcome: str) -> None:
    assert ledger.OUTCOMES[ledger.outcome_of(status)] == outcome
