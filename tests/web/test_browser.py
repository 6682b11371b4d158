"""The page in a real browser: no sideways scrolling, legible text, no label cut off, the policy lets the style in."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lepton_ai.core import this_machine
from lepton_ai.evaluation import (
    Report,
    Section,
    Table,
    calibration_section,
    confusion_section,
    curves_section,
    evaluate_classification,
    evaluate_regression,
    headline,
    latency_section,
    learning_curves,
    machine_section,
    model_section,
    per_class_section,
    regression_section,
    report_html,
    timings_section,
    worst_mistakes_section,
)
from tests.contracts.browser import BROWSER, measure

pytestmark = [pytest.mark.browser, pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine")]


def sample() -> str:
    random = np.random.default_rng(0)
    ten, two, thirty = (_judged(random, classes) for classes in (10, 2, 30))
    images = random.integers(0, 256, (ten.count, 8, 8), np.uint8)
    numbers = random.normal(size=300)
    history = {"loss": [2.0, 1.0, 0.5], "val_loss": [2.1, 1.3, 0.9], "a_rather_long_metric_name": [1e-7, 2e-7, 3e-7]}
    report = Report(
        title="A report with averylongwordthatcannotbebrokenanywhereatallbutmustnotscroll",
        subtitle="Of everything.",
        facts=headline(ten, parameters=12_345_678, latency=0.0123, throughput=12345.6),
        sections=(
            learning_curves(history),
            *(confusion_section(result) for result in (ten, two, thirty)),
            per_class_section(thirty),
            worst_mistakes_section(images, ten),
            calibration_section(ten),
            calibration_section(two),
            curves_section(two),
            regression_section(evaluate_regression(numbers + random.normal(size=300) / 9, numbers)),
            model_section("x" * 300, {"Name": "model"}),
            latency_section(random.gamma(3, 0.001, 500), throughput=900.0),
            timings_section({"a step with a name that is far too long for its place": 3.2, "train": 4000.0}),
            machine_section(this_machine()),
            Section(title="Wide", blocks=(Table(columns=("c",) * 30, rows=(("value",) * 30,)),)),
        ),
    )
    return report_html(report)


def _judged(random: np.random.Generator, classes: int) -> Any:
    targets = random.integers(0, classes, 600)
    scores = random.dirichlet(np.ones(classes), 600)
    scores[np.arange(600), targets] += 0.5
    labels = [f"class number {index}" if index % 3 else str(index) for index in range(classes)]
    return evaluate_classification(scores / scores.sum(axis=1, keepdims=True), targets, labels)


@pytest.mark.parametrize("width", [320, 360, 768, 1440])
def test_the_page_fits(width: int, tmp_path: Path) -> None:
    facts = measure(sample(), width, tmp_path)
    assert facts["page"] == "1216px", "the stylesheet was not let in"
    assert facts["images"]
    assert facts["scroll"] <= facts["client"], "the page scrolls sideways"
    assert len(facts["texts"]) > 100
    cut = [text for text in facts["texts"] if text["out"] > 1.5]
    assert not cut, "labels are cut off"
    small = [text for text in facts["texts"] if text["text"] and text["size"] < 9]
    assert not small, "labels are too small to read"
