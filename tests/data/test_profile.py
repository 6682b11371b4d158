import time
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from torch.utils.data import TensorDataset

from lepton_ai.bundle import Profile
from lepton_ai.core import DataError, ShapeError
from lepton_ai.data import Batches, ResumeWarning, Table, TorchDataset, build_profile

finite = st.floats(-1e6, 1e6, width=32)


@settings(max_examples=60, deadline=None)
@given(hnp.arrays("float32", st.integers(1, 80), elements=finite | st.just(float("nan")) | st.just(float("inf"))))
def test_numbers_are_counted_as_numpy_counts(column: npt.NDArray[Any]) -> None:
    feature = build_profile(column[:, None]).inputs["input"][0]
    good = column[np.isfinite(column)].astype(np.float64)
    assert feature.kind == "number" and feature.name == "x0"
    assert (feature.count, feature.missing) == (len(good), len(column) - len(good))
    if len(good) == 0:
        assert feature.mean is None and feature.counts == ()
        return
    assert feature.mean == pytest.approx(good.mean()) and feature.std == pytest.approx(good.std())
    assert feature.quantiles == pytest.approx(np.quantile(good, np.linspace(0, 1, 21)))
    assert len(feature.edges) == 21 and len(feature.counts) == 20
    assert sum(feature.counts) == len(good)
    assert list(feature.edges) == sorted(set(feature.edges))


@settings(max_examples=60, deadline=None)
@given(hnp.arrays("uint8", st.tuples(st.integers(1, 4), st.integers(1, 5), st.integers(1, 5))))
def test_images_are_one_feature_with_exact_pixels(images: npt.NDArray[Any]) -> None:
    (feature,) = build_profile(images).inputs["input"]
    pixels = images.reshape(-1).astype(np.float64)
    assert feature.kind == "image" and feature.count == len(images)
    assert feature.mean == pytest.approx(pixels.mean()) and feature.std == pytest.approx(pixels.std(), abs=1e-9)
    assert feature.quantiles == pytest.approx(np.quantile(pixels, np.linspace(0, 1, 21)))
    assert feature.counts == tuple(np.histogram(pixels, bins=np.array(feature.edges))[0].tolist())
    assert sum(feature.counts) == pixels.size


def test_classes_are_balanced_by_label_in_every_form() -> None:
    x, y = np.zeros((5, 1)), np.array([0, 1, 1, 2, 1])
    for target in (y, y[:, None], np.eye(3)[y], torch.from_numpy(y)):
        (feature,) = build_profile(x, target, labels=["a", "b", "c"]).targets
        assert feature.kind == "category" and feature.name == "target" and feature.count == 5
        assert feature.categories == {"b": 3, "a": 1, "c": 1}
    assert build_profile(x, y).targets[0].categories == {"1": 3, "0": 1, "2": 1}
    assert build_profile(x, np.array([0.0, 1, 1, 0, 1])).targets[0].categories == {"1": 3, "0": 2}
    assert build_profile(x, y == 1).targets[0].categories == {"1": 3, "0": 2}
    assert build_profile(x, y * 0.5).targets[0].kind == "number"


def test_inputs_are_called_by_name() -> None:
    a, b = np.ones((3, 2)), np.zeros((3, 4, 4, 1))
    assert list(build_profile({"image": b, "row": a}).inputs) == ["image", "row"]
    assert list(build_profile((a, b)).inputs) == ["input", "input_1"]
    assert list(build_profile((a, b), input_names=["row", "image"]).inputs) == ["row", "image"]
    assert [f.name for f in build_profile(a, names=["age", "pay"]).inputs["input"]] == ["age", "pay"]
    series = build_profile(np.ones((3, 5, 2), np.float32)).inputs["input"]
    assert [(f.name, f.count) for f in series] == [("x0", 15), ("x1", 15)]
    assert [f.name for f in build_profile(np.ones((2, 1025))).inputs["input"]] == ["input"]
    assert [f.name for f in build_profile(np.ones(3)).inputs["input"]] == ["x0"]


def test_names_must_fit() -> None:
    with pytest.raises(ShapeError, match="names: got 1, expected 2 names, one for each column"):
        build_profile(np.ones((3, 2)), names=["a"])
    with pytest.raises(ShapeError, match="expected 1 names"):
        build_profile(np.ones((3, 2)), input_names=["a", "b"])
    with pytest.raises(ShapeError, match="names of columns for several inputs"):
        build_profile({"a": np.ones(2), "b": np.ones(2)}, names=["a"])
    with pytest.warns(ResumeWarning), pytest.raises(DataError, match="ready batches cannot be profiled"):
        build_profile(Batches([torch.ones(1)]))


def test_a_table_has_numbers_and_categories() -> None:
    frame = pd.DataFrame({"age": [1.0, None, 3.0], "job": ["a", None, "a"], "kind": ["u", "v", "u"]})
    profile = build_profile(Table.from_frame(frame, target="kind"))
    age, job = profile.inputs["input"]
    assert (age.count, age.missing, age.mean) == (2, 1, 2.0)
    assert (job.kind, job.count, job.missing, job.categories) == ("category", 2, 1, {"a": 2})
    assert profile.targets[0].categories == {"u": 2, "v": 1}
    assert profile.rows == 3


def test_only_the_hundred_most_frequent_categories_are_listed() -> None:
    frame = pd.DataFrame({"word": [f"w{i:03}" for i in range(150)] + ["w149"]})
    (feature,) = build_profile(Table.from_frame(frame)).inputs["input"]
    assert feature.count == 151 and len(feature.categories) == 100
    assert next(iter(feature.categories.items())) == ("w149", 2)


def test_constants_have_a_bin_of_their_own() -> None:
    for value in (0.0, 5.0, -1e20, 1e-30):
        (feature,) = build_profile(np.full((4, 1), value)).inputs["input"]
        assert sum(feature.counts) == 4
        assert len(set(feature.edges)) == 21


def test_large_data_is_sampled_by_the_seed_in_no_time() -> None:
    x = np.random.default_rng(0).integers(0, 255, (60_000, 28, 28), dtype=np.uint8)
    y = np.arange(60_000) % 10
    begun = time.perf_counter()
    profile = build_profile(x, y)
    assert time.perf_counter() - begun < 5
    assert profile == build_profile(x, y) != build_profile(x, y, seed=1)
    assert profile.targets[0].count == 50_000
    assert profile.rows == profile.inputs["input"][0].count < 50_000
    assert profile.inputs["input"][0].mean == pytest.approx(x.mean(), rel=0.01)
    assert msgspec.json.decode(msgspec.json.encode(profile), type=Profile) == profile


def test_large_images_are_thinned_out() -> None:
    x = np.zeros((300, 200, 200, 3), np.uint8)
    x[..., 0] = 90
    (feature,) = build_profile(x).inputs["input"]
    assert feature.count == 300 and sum(feature.counts) <= 1_000_000
    assert feature.mean == pytest.approx(30, rel=0.05)


def test_a_source_out_of_memory_is_fetched() -> None:
    source = TorchDataset(TensorDataset(torch.arange(6.0)[:, None], torch.tensor([0, 1, 0, 1, 0, 1])))
    profile = build_profile(source)
    assert profile.inputs["input"][0].mean == 2.5
    assert profile.targets[0].categories == {"0": 3, "1": 3}
