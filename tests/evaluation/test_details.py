import numpy as np
import pytest

from lepton_ai.core import DataError, this_machine
from lepton_ai.evaluation import (
    Chart,
    Code,
    Facts,
    evaluate_classification,
    evaluate_regression,
    headline,
    latency_section,
    machine_section,
    model_section,
    timings_section,
)


def test_headline() -> None:
    result = evaluate_classification(np.eye(2)[[0, 1, 1]], [0, 1, 1])
    facts = headline(result, parameters=347146, latency=0.0023, throughput=2380.0)
    assert [(fact.label, str(fact.value).replace("\u202f", " ")) for fact in facts] == [
        ("Accuracy", "100.0 %"), ("Parameters", "347k"), ("Latency", "2.3 ms"), ("Throughput", "2,380 / s"),
    ]  # fmt: skip
    assert facts[0].note.replace("\u202f", " ") == "95 % interval: 43.9 % – 100.0 %, on 3 samples"
    (only,) = headline(evaluate_regression([1.0, 2.0], [1.5, 2.0]))
    assert only.label == "Mean absolute error"


def test_model_and_machine() -> None:
    facts, code = model_section("a\nb\n", {"Layers": 2}).blocks
    assert isinstance(facts, Facts) and isinstance(code, Code) and code.body == "a\nb"
    (items,) = machine_section(this_machine()).blocks
    assert isinstance(items, Facts)
    assert this_machine().cores in [fact.value for fact in items.items]


def test_timings() -> None:
    section = timings_section({"train": 50.0, "export": 12.0})
    assert section.lead.replace("\u202f", " ") == "1 min 2 s in all."
    with pytest.raises(DataError, match="there are no timings"):
        timings_section({})


@pytest.mark.parametrize("rows", [1, 3, 5000])
def test_latency(rows: int) -> None:
    seconds = np.random.default_rng(0).gamma(3, 0.001, rows)
    chart, figures = latency_section(seconds, throughput=100.0).blocks
    assert isinstance(chart, Chart) and "median" in chart.svg
    assert isinstance(figures, Facts)
    assert [fact.label for fact in figures.items] == [
        "Median", "95th percentile", "99th percentile", "Slowest", "Throughput",
    ]  # fmt: skip


def test_no_times() -> None:
    with pytest.raises(DataError, match="there are no times"):
        latency_section([])
