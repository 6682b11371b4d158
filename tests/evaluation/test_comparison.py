import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from lepton_ai.core import ConfigError, ShapeError, UnknownNameError
from lepton_ai.evaluation import Measure, adjusted, compare, get_measure, roc_auc


@given(first=st.integers(0, 40), second=st.integers(0, 40), both=st.integers(1, 30))
@settings(max_examples=60, deadline=None)
def test_mcnemar_as_scipy_has_it(first: int, second: int, both: int) -> None:
    targets = np.ones(first + second + both, np.int64)
    one = np.array([0.9] * first + [0.1] * second + [0.9] * both)
    two = np.array([0.1] * first + [0.9] * second + [0.9] * both)
    found = compare(one, two, targets, resamples=20)
    expected = stats.binomtest(first, first + second).pvalue if first + second else 1.0
    assert found.p_value == pytest.approx(expected, abs=1e-12)
    assert found.difference == pytest.approx((first - second) / len(targets))


def test_delong_has_the_variance_of_its_formula() -> None:
    generator = np.random.default_rng(0)
    targets = generator.integers(0, 2, 120)
    one = targets + generator.normal(0, 1.2, 120)
    two = np.round(targets + generator.normal(0, 1.6, 120), 1)
    found = compare(one, two, targets, "roc_auc", resamples=200)
    # Straight from the definition: each pair of a positive and a negative counts 1, a tie a half.
    x, y = targets == 1, targets == 0
    psi = [(s[x][:, None] > s[y]).astype(float) + 0.5 * (s[x][:, None] == s[y]) for s in (one, two)]
    won, lost = np.array([p.mean(1) for p in psi]), np.array([p.mean(0) for p in psi])
    contrast = np.array([1, -1])
    variance = contrast @ (np.cov(won) / x.sum() + np.cov(lost) / y.sum()) @ contrast
    z = (psi[0].mean() - psi[1].mean()) / np.sqrt(variance)
    assert found.p_value == pytest.approx(2 * stats.norm.sf(abs(z)), abs=1e-12)
    assert found.difference == pytest.approx(roc_auc(one, targets) - roc_auc(two, targets))
    assert found.interval.low < found.difference < found.interval.high
    assert found.test == "DeLong's test"


def test_equal_answers_differ_in_nothing() -> None:
    targets = np.tile([0, 1], 20)
    scores = np.linspace(0, 1, 40)
    for measure in ("accuracy", "roc_auc", "log_loss"):
        found = compare(scores, scores, targets, measure, resamples=50)
        assert (found.difference, found.p_value, found.significant) == (0.0, 1.0, False)


def test_chance_alone_is_rarely_called_significant_and_a_real_gain_is_found() -> None:
    generator = np.random.default_rng(1)
    chance, real = 0, 0
    for _ in range(100):
        truth = generator.normal(size=60)
        a, b = (truth + generator.normal(0, 1, 60) for _ in range(2))
        chance += compare(a, b, truth, "mae", resamples=99).significant
        real += compare(a, truth + generator.normal(0, 2, 60), truth, "mae", resamples=99).significant
    assert chance <= 12 and real >= 90


def test_folds_are_averaged() -> None:
    targets, parts = np.array([1, 1, 0, 1]), np.array([0, 1, 1, 1])
    found = compare([0.9, 0.1, 0.1, 0.1], [0.1, 0.1, 0.1, 0.1], targets, parts=parts, resamples=20)
    assert found.first == pytest.approx((1 + 1 / 3) / 2) and found.second == pytest.approx((0 + 1 / 3) / 2)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=6))
@settings(max_examples=60, deadline=None)
def test_correction_for_many_never_lowers_and_keeps_the_order(values: list[float]) -> None:
    found = adjusted(values)
    assert all(value <= new <= 1 for value, new in zip(values, found, strict=True))
    assert all(found[i] <= found[j] for i in range(len(values)) for j in range(len(values)) if values[i] <= values[j])
    assert min(found) == min(1.0, len(values) * min(values))


def test_a_measure_of_ones_own() -> None:
    within = Measure(name="within", compute=lambda said, true: float((abs(said - true) < 1).mean()), rising=True)
    found = compare([0.0, 5.0], [9.0, 9.0], [0.5, 5.0], within, resamples=20)
    assert (found.first, found.second, found.measure) == (1.0, 0.0, "within")


def test_errors() -> None:
    with pytest.raises(UnknownNameError, match="unknown measure 'acuracy'.*accuracy"):
        get_measure("acuracy")
    with pytest.raises(ConfigError, match=r"For a function of your own: Measure\(name='\.\.\.'"):
        get_measure(len)
    with pytest.raises(ShapeError, match="first has 2 rows, second has 3 rows"):
        compare([0.1, 0.2], [0.1, 0.2, 0.3], [0, 1])
