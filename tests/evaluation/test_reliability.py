import numpy as np
import pytest
from sklearn.calibration import calibration_curve

from lepton_ai.core import ConfigError, DataError, ShapeError
from lepton_ai.evaluation import calibration, wilson_interval


@pytest.mark.parametrize("seed", range(5))
def test_bins_like_scikit_learn(seed: int) -> None:
    random = np.random.default_rng(seed)
    stated = random.random(300).round(2)  # many on a border
    happened = random.random(300) < stated
    found = calibration(stated, happened)
    observed, confidence = calibration_curve(happened, stated, n_bins=10)
    full = [one for one in found.bins if one.count]
    assert [one.observed for one in full] == pytest.approx(list(observed))
    assert [one.confidence for one in full] == pytest.approx(list(confidence))
    assert sum(one.count for one in found.bins) == 300
    gaps = np.abs(observed - confidence)
    assert found.error == pytest.approx(np.average(gaps, weights=[one.count for one in full]))
    assert found.largest == pytest.approx(gaps.max())


def test_intervals_and_empty_bins() -> None:
    found = calibration([0.95, 0.95, 1.0, 0.0], [1, 0, 1, 0], bins=5)
    assert [one.count for one in found.bins] == [1, 0, 0, 0, 3]
    interval = wilson_interval(2, 3)
    assert (found.bins[4].low, found.bins[4].high) == (interval.low, interval.high)
    assert found.bins[2].confidence == pytest.approx(0.5)
    assert (found.bins[2].low, found.bins[2].high) == (0.0, 1.0)


def test_errors() -> None:
    with pytest.raises(DataError, match="got '0.2 to 1.5', expected 0 to 1"):
        calibration([0.2, 1.5], [0, 1])
    with pytest.raises(ShapeError, match="confidence has 1 rows, happened has 2 rows"):
        calibration([0.2], [0, 1])
    with pytest.raises(ConfigError, match="calibration.bins: got 0"):
        calibration([0.2], [0], bins=0)
