"""What compile, fit, evaluate and predict refuse, and how they say it."""

from typing import Any

import numpy as np
import pytest
import torch

from lepton_ai.core import ConfigError, DataError, LeptonError, ShapeError, UnknownNameError, UsageError
from lepton_ai.data import Arrays
from lepton_ai.hal import ExecutionPlan
from lepton_ai.layers import Conv2D, Dense, Flatten
from lepton_ai.models import Sequential
from lepton_ai.training import EarlyStopping
from tests.contracts.fitting import compiled, mlp, state, table

X, Y = table()


def regression(units: int = 1) -> Sequential:
    model = Sequential([Dense(units, input_shape=(4,))])
    model.compile("sgd", "mse", metrics=["mae"])
    return model


def fitted(*data: Any, **options: Any) -> Any:
    model = compiled(mlp())
    model.fit(*data, **{"batch_size": 10, "epochs": 2, "verbose": 0, "shuffle": False} | options)
    return model


NAN, INF = X.copy(), X.copy()
NAN[3, 1], INF[4, 2] = np.nan, np.inf

BAD: dict[str, tuple[Any, Any, type[LeptonError], str]] = {
    "nan": (NAN, Y, DataError, "x: 1 NaN in 1 of 50 rows, the first in row 3, column 1"),
    "infinity": (INF, Y, DataError, "x: 1 infinite in 1 of 50 rows, the first in row 4, column 2"),
    "empty": (X[:0], Y[:0], DataError, "empty data: 0 rows"),
    "lengths": (X, Y[:-1], DataError, "different lengths: x has 50 rows, y has 49"),
    "strings": (np.array([["a"] * 4] * 50), Y, DataError, "strings where numbers belong, the first 'a'"),
    "string labels": (X, ["cat"] * 50, DataError, "y: strings where numbers belong.*encode_labels"),
    "no targets": (X, None, DataError, "there are no targets for 1 outputs. Pass y"),
    "nothing": (None, None, DataError, "no data: x is None"),
    "path": ("train.csv", Y, DataError, "a path, 'train.csv', where data belongs.*read_csv"),
    "labels outside": (X, Y + 1, DataError, r"labels lie outside \[0, 3\): 3.* at row .*count from 0"),
    "one-hot": (X, np.eye(3)[Y], ShapeError, "look like one-hot rows: use loss='categorical_crossentropy'"),
    "channels": (X[:, :3], Y, ShapeError, r"input 'input' of .* examples of shape \(3,\), expected \(4,\)"),
    "rank": (X[:, None], Y, ShapeError, r"input 'input' of .* examples of shape \(1, 4\), expected \(4,\)"),
}  # fmt: skip


@pytest.mark.parametrize("kind", BAD)
def test_bad_data_is_named(kind: str) -> None:
    x, y, error, message = BAD[kind]
    with pytest.raises(error, match=message):
        fitted(x, y)


@pytest.mark.parametrize("verb", ["validation_data", "evaluate"])
def test_bad_held_out_data_is_named(verb: str) -> None:
    built = r"input 'input' of Sequential 'sequential': got examples of shape"
    for kind, (x, y, error, text) in BAD.items():
        model = compiled(mlp())
        if kind in ("channels", "rank"):  # a model that is built blames the input
            model.predict(X)
        message = built if kind in ("channels", "rank") else text
        if verb == "validation_data" and kind in ("nothing", "no targets"):
            continue
        with pytest.raises(error, match=message):
            if verb == "evaluate":
                model.evaluate(x, y)
            else:
                model.fit(X, Y, validation_data=(x, y), verbose=0)


def test_nothing_is_lost_when_data_is_refused() -> None:
    model = fitted(X, Y)
    before = state(model)
    for x, y, error, _ in BAD.values():
        with pytest.raises(error):
            model.fit(x, y, verbose=0)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert model.history is not None and model.history.epoch == [0, 1]


def test_targets_of_another_shape_are_refused() -> None:
    with pytest.raises(ShapeError, match=r"targets of shape \(batch, 3\) do not fit outputs of shape \(batch, 1\)"):
        regression().fit(X[:8], X[:8, :3], verbose=0)
    with pytest.raises(ShapeError, match=r"targets of shape \(batch, 1\) do not fit outputs of shape \(batch, 3\)"):
        regression(3).fit(X[:8], X[:8, :1], verbose=0)
    with pytest.raises(DataError, match="targets hold NaN|y: 1 NaN in 1 of 50 rows"):
        regression().fit(X, NAN[:, 1], verbose=0)


def test_an_image_of_other_channels_names_the_first_layer() -> None:
    model = Sequential([Conv2D(4, 3, input_shape=(8, 8, 3)), Flatten(), Dense(1)])
    message = r"Conv2D 'conv2d': got an input of shape \(2, 8, 8, 1\), expected 3 at axis -1"
    with pytest.raises(ShapeError, match=message):
        model(torch.ones(2, 8, 8, 1))
    with pytest.raises(ShapeError, match=r"Conv2D 'conv2d': got an input of shape \(2, 8, 8\), expected"):
        model(torch.ones(2, 8, 8))
    model(torch.ones(2, 8, 8, 3))
    with pytest.raises(ShapeError, match=r"Conv2D 'conv2d': got an input of shape \(2, 8, 8, 1\), expected 3 at axis"):
        model(torch.ones(2, 8, 8, 1))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"optimizer": "adma"}, r"compile\(optimizer=...\): unknown optimizer 'adma'. Did you mean 'adam'\?"),
        ({"loss": "categorical_crossentropi"}, "unknown loss .* Did you mean 'categorical_crossentropy'?"),
        ({"loss": ["mse", "maee"]}, "unknown loss 'maee'. Did you mean"),
        ({"loss": {"a": "msee"}}, "unknown loss 'msee'. Did you mean 'mse'?"),
        ({"plan": "defualt"}, "unknown plan 'defualt'. Did you mean 'default'?"),
        ({"plan": ExecutionPlan(precision="float23")}, "unknown precision 'float23'. Did you mean 'float32'?"),
    ],
)
def test_unknown_names_at_compile(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UnknownNameError, match=message):
        mlp().compile(**{"optimizer": "adam", "loss": "mse"} | options)


def test_unknown_metric_and_activation() -> None:
    with pytest.raises(UnknownNameError, match="unknown metric 'acuracy'. Did you mean 'accuracy'"):
        model = mlp()
        model.compile("adam", "sparse_categorical_crossentropy", metrics=["acuracy"])
        model.fit(X, Y, verbose=0)
    with pytest.raises(UnknownNameError, match=r"unknown activation 'rleu'. Did you mean 'relu'\?"):
        Dense(3, activation="rleu")


def test_a_monitor_that_is_not_there() -> None:
    with pytest.raises(
        UnknownNameError, match=r"EarlyStopping\(monitor=...\): unknown metric 'val_loss'. Did you mean"
    ):
        fitted(X, Y, callbacks=[EarlyStopping("val_loss")])


@pytest.mark.parametrize("verb", ["fit", "evaluate"])
def test_before_compile(verb: str) -> None:
    with pytest.raises(UsageError, match=f"{verb} was called before compile. Write model.compile"):
        getattr(mlp(), verb)(X, Y)
    model = mlp()
    model.compile("adam")
    with pytest.raises(UsageError, match="compile was not given a loss"):
        getattr(model, verb)(X, Y)


@pytest.mark.parametrize(
    "name", ["batch_size", "epochs", "steps_per_epoch", "validation_batch_size", "validation_freq"]
)
@pytest.mark.parametrize("value", [0, -1, 2.5, True, "3"])
def test_sizes_are_checked(name: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=rf"fit\({name}=...\): got .*, expected a positive int"):
        fitted(X, Y, **{name: value}, validation_data=(X, Y))


def test_other_sizes_are_checked() -> None:
    with pytest.raises(ConfigError, match=r"evaluate\(batch_size=...\): got 0"):
        compiled(mlp()).evaluate(X, Y, batch_size=0)
    with pytest.raises(ConfigError, match=r"predict\(batch_size=...\): got 0"):
        mlp().predict(X, batch_size=0)
    with pytest.raises(ConfigError, match=r"initial_epoch=...\): got -1"):
        fitted(X, Y, initial_epoch=-1)


def test_weights_that_are_given_twice() -> None:
    with pytest.raises(UsageError, match="y beside a Arrays"):
        fitted(Arrays(X, Y), Y)
