import numpy as np

from lepton_ai.evaluation import (
    Candidate,
    CrossValidation,
    Report,
    Selection,
    choice_section,
    compare,
    get_measure,
    report_html,
    threshold_section,
)


def result(good: float) -> CrossValidation:
    targets = np.tile([0, 1], 40)
    right = np.arange(80) % 10 < good * 10
    answers = np.where(right, np.where(targets == 1, 0.9, 0.1), np.where(targets == 1, 0.1, 0.9))
    return CrossValidation(
        get_measure("accuracy"), rows=np.arange(80), parts=np.repeat(np.arange(4), 20), answers=answers, targets=targets
    )


def test_cross_validation_says_mean_spread_and_interval() -> None:
    found = result(0.8)
    assert found.scores == (0.8, 0.8, 0.8, 0.8) and found.mean == 0.8 and found.spread == 0
    assert 0.65 < found.interval.low < 0.8 < found.interval.high < 0.95
    assert repr(found).startswith("CrossValidation(accuracy 0.8000, 95 % 0.")


def test_a_choice_is_told_in_the_terminal_and_in_the_report() -> None:
    best, poor = result(0.9), result(0.3)
    comparison = compare(best.answers, poor.answers, best.targets, parts=best.parts, resamples=100)
    chosen = Selection(
        measure="accuracy",
        best="deep",
        candidates=(
            Candidate(name="deep", result=best),
            Candidate(name="linear", result=poor, against_best=comparison, p_adjusted=comparison.p_value),
        ),
    )
    assert chosen.tied == ()
    lines = chosen.table().splitlines()
    assert lines[0].split() == ["model", "accuracy", "95", "%", "interval", "folds", "p", "against", "the", "best"]
    assert lines[1].startswith("deep    0.9000") and lines[2].startswith("linear  0.3000")
    page = report_html(Report(title="Choice", sections=(choice_section(chosen),)))
    assert "Best: deep." in page and "Fold by fold" in page and "linear" in page


def test_the_cost_of_thresholds_is_drawn() -> None:
    section = threshold_section([0.1, 0.4, 0.35, 0.8], [0, 0, 1, 1], false_negative=5)
    page = report_html(Report(title="Thresholds", sections=(section,)))
    assert "At 0.35, the cheapest" in page and "Precision 66.7" in page and "a miss 5" in page
