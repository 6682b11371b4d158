"""What the loop refuses beside resident arrays, and what it does not let callbacks or folders spoil."""

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Dataset

from lepton_ai.core import ConfigError, DataError, StorageError, UnknownNameError, UsageError
from lepton_ai.data import Arrays, split
from lepton_ai.layers import Dense
from lepton_ai.models import Sequential
from lepton_ai.training import SGD, CategoricalCrossentropy, LambdaCallback
from tests.contracts.fitting import InterruptAt, compiled, mlp, same_state, table, without_seconds

X, Y = table()


def spoilt(value: float = np.nan, row: int = 37) -> Any:
    x = X.copy()
    x[row, 1] = value
    return x


class Items(Dataset[Any]):
    """Rows that come one by one."""

    def __init__(self, x: Any, y: Any) -> None:
        self.x, self.y = x, y

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, index: int) -> Any:
        return self.x[index], self.y[index]


def test_the_parts_of_a_split_source_are_checked() -> None:
    part, rest = split(Arrays(spoilt(), Y), test=0.5)
    bad, good = (part, rest) if 37 in part.indices else (rest, part)
    model = compiled(mlp())
    for use in (model.fit, model.evaluate, model.predict):
        with pytest.raises(DataError, match="x: 1 NaN in 1 of 25 rows, the first in row"):
            use(bad)
    model.fit(good, verbose=0)
    with pytest.raises(DataError, match="x: 1 NaN"):
        model.fit(good, verbose=0, validation_data=bad)


def test_late_items_are_checked_as_they_come() -> None:
    labels = Y.copy()
    for wrong in (9, -1):
        labels[45] = wrong
        model = compiled(mlp())
        with pytest.raises(DataError, match=rf"labels lie outside \[0, 3\): {wrong} at row"):
            model.fit(Items(X, labels), batch_size=10, verbose=0)
        with pytest.raises(DataError, match="labels lie outside"):
            model.evaluate(Items(X, labels), batch_size=10)
    for use in (compiled(mlp()).fit, compiled(mlp()).evaluate, lambda data, **_: compiled(mlp()).predict(data)):
        with pytest.raises(DataError, match="x: 1 NaN in 1 of"):
            use(Items(spoilt(), Y), verbose=0)


@pytest.mark.filterwarnings("ignore::lepton_ai.data.ResumeWarning")
def test_late_one_hot_rows_of_a_loader_are_checked() -> None:
    rows = np.eye(3, dtype="float32")[Y]
    rows[45] = 7
    model = mlp()
    model.compile("sgd", "categorical_crossentropy")
    with pytest.raises(DataError, match=r"targets lie outside \[0, 1\]: 7.0 at row 5"):
        model.fit(DataLoader(Items(X, rows), batch_size=10), verbose=0)


def test_an_interrupt_keeps_the_history_where_no_checkpoint_can_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("runs").write_text("a file")
    with caplog.at_level(logging.ERROR, "lepton_ai.training"):
        history = compiled(mlp()).fit(X, Y, batch_size=10, epochs=3, verbose=0, callbacks=[InterruptAt(1, 2)])
    assert history.interrupted and history.epoch == [0]
    assert "interrupted in epoch 2, step 3; no checkpoint" in caplog.text


def test_a_run_goes_on_only_as_it_was(tmp_path: Path) -> None:
    def begin(model: Any = None, rows: int = 50, **options: Any) -> Any:
        return compiled(model or mlp()).fit(
            X[:rows], Y[:rows], **{"batch_size": 10, "epochs": 2, "verbose": 0, "run": tmp_path} | options
        )

    first = begin()
    assert without_seconds(begin()) == without_seconds(first)
    with pytest.raises(StorageError, match="rows of data 50, this one has 40; steps per epoch 5"):
        begin(rows=40)
    with pytest.raises(StorageError, match="batch_size 10, this one has 25"):
        begin(batch_size=25)
    with pytest.raises(StorageError, match=r"run with layers\[0\].activation 'relu', this one has 'tanh'"):
        begin(Sequential([Dense(8, activation="tanh", input_shape=(4,)), Dense(3, activation="softmax")]))
    other = mlp()
    other.compile("adam", "sparse_categorical_crossentropy", metrics=["sparse_top_k_categorical_accuracy"])
    with pytest.raises(StorageError, match="metrics.*TopK"):
        other.fit(X, Y, batch_size=10, epochs=2, verbose=0, run=tmp_path)
    assert begin(epochs=3).epoch == [0, 1, 2]


def test_evaluating_in_a_callback_leaves_the_training_metrics() -> None:
    seen: list[Any] = []
    model, plain = compiled(mlp()), compiled(mlp())

    def look(batch: int, logs: dict[str, float]) -> None:
        seen.append(model.evaluate(X[:7], Y[:7]))

    watched = model.fit(X, Y, epochs=2, verbose=0, callbacks=[LambdaCallback(on_train_batch_end=look)])
    assert seen and watched.history == plain.fit(X, Y, epochs=2, verbose=0).history
    assert same_state(model, plain)


def raw(units: int, loss: Any) -> Sequential:
    model = Sequential([Dense(units, input_shape=(4,))])
    model.compile(SGD(0.1), loss)
    return model


def test_raw_scores_are_refused_by_losses_of_probabilities() -> None:
    pattern = r"outputs are no probabilities: .*activation='softmax', or use SparseCategoricalCrossentropy\(from_logits"
    with pytest.raises(ConfigError, match=pattern):
        raw(3, "sparse_categorical_crossentropy").fit(X, Y, verbose=0)
    with pytest.raises(ConfigError, match="activation='softmax', or use CategoricalCrossentropy"):
        raw(3, "categorical_crossentropy").fit(X, np.eye(3)[Y], verbose=0)
    with pytest.raises(ConfigError, match="activation='sigmoid', or use BinaryCrossentropy"):
        raw(1, "binary_crossentropy").fit(X * 100, Y > 0, verbose=0)
    raw(3, CategoricalCrossentropy(from_logits=True)).fit(X, np.eye(3)[Y], verbose=0)


def test_class_weights_need_one_class_per_row() -> None:
    weights = {0: 1.0, 1: 2.0, 2: 1.0}
    model = mlp()
    model.compile("sgd", "categorical_crossentropy")
    model.fit(X, np.eye(3)[Y], verbose=0, class_weight=weights)
    with pytest.raises(DataError, match=r"one class per row; targets are not one-hot .*first in row 0: \[0.5"):
        model.fit(X, np.full((50, 3), [0.5, 0.25, 0.25]), verbose=0, class_weight=weights)
    several = Sequential([Dense(3, activation="sigmoid", input_shape=(4,))])
    several.compile("sgd", "binary_crossentropy")
    with pytest.raises(DataError, match="several labels"):
        several.fit(X, np.ones((50, 3)), verbose=0, class_weight=weights)
    answer = Sequential([Dense(1, activation="sigmoid", input_shape=(4,))])
    answer.compile("sgd", "binary_crossentropy")
    with pytest.raises(DataError, match=r"whole class numbers \(soft labels\)"):
        answer.fit(X, np.full(50, 0.5), verbose=0, class_weight={0: 1.0, 1: 2.0})
    with pytest.raises(UsageError, match="mean_squared_error is a loss of quantities"):
        raw(1, "mse").fit(X, Y, verbose=0, class_weight={0: 1.0, 1: 2.0})


def test_an_unknown_metric_is_found_at_compile() -> None:
    wrong: list[Any] = [["acuracy"], {"a": ["acuracy"]}, "acuracy"]
    for given in wrong:
        with pytest.raises(UnknownNameError, match="acuracy"):
            mlp().compile("sgd", "mse", metrics=given)
    mlp().compile("sgd", "mse", metrics=["mae", "acc", "mean_squared_error"])


def test_torchs_own_generator_is_left_as_it_was() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    compiled(mlp(dropout=0.5)).fit(X, Y, verbose=0)
    assert torch.equal(torch.rand(3), expected)
