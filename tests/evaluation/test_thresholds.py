import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lepton_ai.core import ConfigError, DataError, UnknownNameError
from lepton_ai.evaluation import cheapest_threshold, threshold_for

rows = st.lists(st.tuples(st.integers(0, 8), st.booleans()), min_size=2, max_size=30).filter(
    lambda pairs: len({label for _, label in pairs}) == 2
)


@given(pairs=rows, alarm=st.floats(0.1, 9), miss=st.floats(0.1, 9))
@settings(max_examples=80, deadline=None)
def test_no_threshold_is_cheaper(pairs: list[tuple[int, bool]], alarm: float, miss: float) -> None:
    scores, targets = np.array([s for s, _ in pairs]) / 8, np.array([int(t) for _, t in pairs])

    def cost(threshold: float) -> float:
        called = scores >= threshold
        return float((called & (targets == 0)).mean() * alarm + (~called & (targets == 1)).mean() * miss)

    found = cheapest_threshold(scores, targets, false_positive=alarm, false_negative=miss)
    assert found.cost is not None and found.cost == pytest.approx(cost(found.threshold))
    assert all(found.cost <= cost(value) + 1e-9 for value in [np.inf, *scores])
    called = scores >= found.threshold
    assert (
        found.true_positives == (called & (targets == 1)).sum()
        and found.false_positives == (called & (targets == 0)).sum()
    )
    assert found.true_positives + found.false_negatives == targets.sum()


@given(pairs=rows, value=st.floats(0, 1), goal=st.sampled_from(["recall", "precision", "false_positive_rate"]))
@settings(max_examples=80, deadline=None)
def test_a_promise_is_kept_or_refused_rightly(pairs: list[tuple[int, bool]], value: float, goal: str) -> None:
    scores, targets = np.array([s for s, _ in pairs]) / 8, np.array([int(t) for _, t in pairs])
    try:
        found = threshold_for(scores, targets, goal, value)  # type: ignore[arg-type]
    except DataError:
        assert goal == "precision"
        for one in scores:
            called = scores >= one
            assert targets[called].mean() < value
        return
    reached = getattr(found, goal)
    assert reached <= value + 1e-9 if goal == "false_positive_rate" else reached >= value - 1e-9


def test_costly_misses_lower_the_threshold() -> None:
    scores, targets = [0.1, 0.4, 0.35, 0.8], [0, 0, 1, 1]
    assert cheapest_threshold(scores, targets, false_positive=5).threshold == 0.8
    assert cheapest_threshold(scores, targets, false_negative=5).threshold == 0.35
    nothing = cheapest_threshold([0.9, 0.1], [0, 1], false_positive=100)
    assert nothing.threshold == np.inf and nothing.cost == 0.5 and nothing.precision == 0


def test_errors() -> None:
    with pytest.raises(ConfigError, match="expected mistakes that cost more than right answers"):
        cheapest_threshold([0.1, 0.9], [0, 1], false_positive=-1)
    with pytest.raises(DataError, match="all 2 targets are of class 1"):
        cheapest_threshold([0.1, 0.9], [1, 1])
    with pytest.raises(UnknownNameError, match="recall"):
        threshold_for([0.1, 0.9], [0, 1], "recal", 0.9)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="expected a share from 0 to 1"):
        threshold_for([0.1, 0.9], [0, 1], "recall", 90)
    with pytest.raises(DataError, match="no threshold gives a precision of 0.9, expected at most 0.5"):
        threshold_for([0.9, 0.1], [0, 1], "precision", 0.9)
