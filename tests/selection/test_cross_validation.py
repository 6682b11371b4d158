from typing import Any

import numpy as np
import pytest
from sklearn.model_selection import cross_val_score
from sklearn.neighbors import KNeighborsClassifier

from lepton_ai import datasets
from lepton_ai.core import ConfigError, DataError, ShapeError
from lepton_ai.layers import Dense, Normalization
from lepton_ai.models import LinearRegression, LogisticRegression, Sequential
from lepton_ai.selection import cross_validate, select
from lepton_ai.training import Adam


class Scored(LogisticRegression):
    def predict(self, x: Any) -> Any:
        return self.predict_proba(x)


def iris() -> tuple[Any, Any]:
    (x, y), _ = datasets.iris.load_data(test=0.2)
    return x, y


def test_each_row_is_answered_by_a_model_that_did_not_see_it() -> None:
    seen: list[set[float]] = []

    class Recorder:
        def fit(self, x: Any, y: Any) -> None:
            self.rows = set(x[:, 0].tolist())
            seen.append(self.rows)

        def predict(self, x: Any) -> Any:
            assert not self.rows & set(x[:, 0].tolist())
            return x[:, 0]

    x = np.arange(20.0)[:, None]
    found = cross_validate(lambda rows: Recorder(), x, x[:, 0], "mae", folds=4, seed=3)
    assert found.mean == 0 and found.rows.tolist() == list(range(20)) and len(seen) == 4
    assert np.array_equal(found.targets, x[:, 0])


def test_as_scikit_learn_judges() -> None:
    x, y = iris()

    class Neighbours:
        def __init__(self) -> None:
            self.inner = KNeighborsClassifier(5)

        def fit(self, x: Any, y: Any) -> None:
            self.inner.fit(x, y)

        def predict(self, x: Any) -> Any:
            return self.inner.predict_proba(x)

    found = cross_validate(lambda rows: Neighbours(), x, y, folds=5, stratify=y)
    folds = [
        (np.setdiff1d(np.arange(len(y)), found.rows[found.parts == f]), found.rows[found.parts == f]) for f in range(5)
    ]
    assert found.scores == pytest.approx(tuple(cross_val_score(KNeighborsClassifier(5), x, y, cv=folds)))


def test_preprocessing_is_adapted_to_the_rows_trained_on() -> None:
    x, y = iris()
    means: list[float] = []

    def build(rows: Any) -> Sequential:
        normalization = Normalization()
        normalization.adapt(rows)
        means.append(float(rows[:, 0].mean()))
        model = Sequential([normalization, Dense(3, activation="softmax")])
        model.compile(Adam(0.05), "sparse_categorical_crossentropy")
        return model

    found = cross_validate(build, x, y, folds=3, stratify=y, epochs=30, batch_size=8, verbose=0)
    assert found.mean > 0.8 and len(set(means)) == 3
    assert found.interval.low < found.mean < found.interval.high


def test_tables_and_structures_go_in() -> None:
    x, y = iris()

    class Joined:
        def fit(self, x: Any, y: Any) -> None:
            self.inner = Scored().fit(np.column_stack([x["a"], x["b"]]), y)

        def predict(self, x: Any) -> Any:
            return self.inner.predict(np.column_stack([x["a"], x["b"]]))

    assert cross_validate(lambda rows: Joined(), {"a": x[:, :2], "b": x[:, 2:]}, y, stratify=y).mean > 0.9


def test_the_best_is_found_and_near_ones_are_said_to_be_near() -> None:
    x, y = iris()
    noise = np.random.default_rng(0).normal(size=(len(x), 1))

    class Only(Scored):
        def __init__(self, columns: Any) -> None:
            super().__init__()
            self.columns = columns

        def fit(self, x: Any, y: Any) -> Any:
            return super().fit(x[:, self.columns], y)

        def predict(self, x: Any) -> Any:
            return super().predict(x[:, self.columns])

    data = np.column_stack([x, noise])
    chosen = select(
        {
            "noise": lambda rows: Only([4]),
            "petals": lambda rows: Only([2, 3]),
            "all": lambda rows: Only([0, 1, 2, 3]),
        },
        data,
        y,
        stratify=y,
    )
    assert chosen.best in ("petals", "all") and chosen.candidates[-1].name == "noise"
    assert set(chosen.tied) == {"petals", "all"} - {chosen.best}
    last = chosen.candidates[-1]
    assert last.p_adjusted is not None and last.p_adjusted < 1e-6
    assert last.against_best is not None and last.against_best.difference > 0.4
    error = select({"mean": lambda rows: Only([4]), "all": lambda rows: Scored()}, x[:, [0, 1, 2, 3, 0]], y, "log_loss")
    assert error.best == "all"  # less loss is better


def test_time_goes_forward_only() -> None:
    x = np.arange(30.0)[:, None]
    found = cross_validate(lambda rows: LinearRegression(), x, x[:, 0], "r2", folds=4, time=x[:, 0])
    assert found.rows.tolist() == list(range(6, 30)) and found.mean == pytest.approx(1)


def test_errors() -> None:
    x, y = iris()
    one = Scored()
    with pytest.raises(ConfigError, match="build gave the same model again"):
        cross_validate(lambda rows: one, x, y, folds=2)
    with pytest.raises(ConfigError, match="expected at least two ways to make a model"):
        select({"a": lambda rows: Scored()}, x, y)
    with pytest.raises(ShapeError, match="expected a target for each row"):
        cross_validate(lambda rows: Scored(), x, 3)

    class Short(Scored):
        def predict(self, x: Any) -> Any:
            return super().predict(x)[:-1]

    with pytest.raises(ShapeError, match="answers from predict"):
        cross_validate(lambda rows: Short(), x, y, folds=2)
    rare = np.where(np.arange(len(y)) // 2 == 40, 2, np.arange(len(y)) % 2)
    with pytest.raises(DataError, match=r"answer in different shapes: .* Pass stratify=y"):
        cross_validate(lambda rows: Scored(), x, rare, folds=3, time=-np.arange(len(y)))
