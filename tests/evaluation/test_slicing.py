import numpy as np
import pytest

from lepton_ai.core import ConfigError, ShapeError
from lepton_ai.evaluation import slices, wilson_interval


def test_values_with_names_weakest_first() -> None:
    found = slices(np.array(["b", "a", "a", None, "b"], object), [1, 0, 1, 0, 1])
    assert [(one.name, one.count, one.accuracy) for one in found] == [("missing", 1, 0.0), ("a", 2, 0.5), ("b", 2, 1.0)]
    assert found[1].interval == wilson_interval(1, 2)


def test_numbers_are_cut_into_ranges_of_equal_count() -> None:
    values = np.append(np.arange(100.0), np.nan)
    found = slices(values, values < 50)
    assert {one.name: one.count for one in found} == {
        "0 to 24.75": 25, "24.75 to 49.5": 25, "49.5 to 74.25": 25, "74.25 to 99": 25, "missing": 1,
    }  # fmt: skip
    assert [one.accuracy for one in found] == [0, 0, 0, 1, 1]


def test_few_numbers_stay_as_they_are() -> None:
    assert sorted(one.name for one in slices([1, 2, 2, 3], [1, 1, 0, 1])) == ["1", "2", "3"]


def test_every_sample_is_in_one_slice() -> None:
    values = np.random.default_rng(0).integers(0, 30, 500)
    assert sum(one.count for one in slices(values, values > 3, bins=7)) == 500


def test_errors() -> None:
    with pytest.raises(ShapeError, match="values has 2 rows, correct has 1 rows"):
        slices([1, 2], [1])
    with pytest.raises(ShapeError, match=r"got \(1, 2\), expected \(N,\)"):
        slices([[1, 2]], [1])
    with pytest.raises(ConfigError, match="slices.bins: got 0"):
        slices([1], [1], bins=0)
