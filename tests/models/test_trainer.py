"""Compile, fit, evaluate, predict: what they take, what they refuse, and how they say it."""

import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch.utils.data import DataLoader, Dataset, TensorDataset

from lepton_ai.core import ConfigError, DataError, ShapeError, UsageError
from lepton_ai.data import Arrays, ResumeWarning
from lepton_ai.hal import ExecutionPlan
from lepton_ai.layers import BatchNormalization, Concatenate, Dense, Input, Normalization, Reshape
from lepton_ai.models import Model, Sequential
from lepton_ai.training import SGD, Adam, EarlyStopping, MeanSquaredError
from tests.contracts.fitting import StepLosses, cnn, compiled, images, mlp, same_state, state, table

X, Y = table()


def regression(units: int = 1) -> Sequential:
    model = Sequential([Dense(units, input_shape=(4,))])
    model.compile("sgd", "mse", metrics=["mae"])
    return model


def fitted(*data: Any, **options: Any) -> Any:
    model = compiled(mlp())
    model.fit(*data, **{"batch_size": 10, "epochs": 2, "verbose": 0, "shuffle": False} | options)
    return model


# -- what fit takes -----------------------------------------------------------------------------------------


class Rows(Dataset[Any]):
    def __len__(self) -> int:
        return len(X)

    def __getitem__(self, index: int) -> Any:
        return X[index], int(Y[index])


EXPECTED = fitted(X, Y)


@pytest.mark.parametrize(
    "data",
    [
        (X.astype("float64"), Y),
        (X.tolist(), Y.tolist()),
        (torch.from_numpy(X), torch.from_numpy(Y)),
        (pd.DataFrame(X, columns=list("abcd")), pd.Series(Y)),
        (TensorDataset(torch.from_numpy(X), torch.from_numpy(Y)),),
        (Rows(),),
        (Arrays(X, Y),),
    ],
    ids=["float64", "lists", "tensors", "frame", "TensorDataset", "Dataset", "source"],
)
def test_data_in_every_form_trains_the_same(data: tuple[Any, ...]) -> None:
    assert same_state(fitted(*data), EXPECTED)


def batches() -> Iterator[Any]:
    for start in range(0, len(X), 10):
        yield X[start : start + 10], Y[start : start + 10]


@pytest.mark.parametrize(
    "data",
    [DataLoader(TensorDataset(torch.from_numpy(X), torch.from_numpy(Y)), batch_size=10), batches],
    ids=["DataLoader", "function"],
)
def test_ready_batches_train_the_same_after_a_warning(data: Any) -> None:
    with pytest.warns(ResumeWarning, match="not promised"):
        assert same_state(fitted(data), EXPECTED)


@pytest.mark.filterwarnings("ignore::lepton_ai.data.ResumeWarning")
def test_a_generator_runs_once() -> None:
    assert fitted(batches(), epochs=1).history.epoch == [0]
    assert fitted(batches(), epochs=2, steps_per_epoch=2).history.epoch == [0, 1]
    with pytest.raises(DataError, match="no batches left: an iterator runs once. Pass a function that returns a new"):
        fitted(batches(), epochs=2)


@pytest.mark.filterwarnings("ignore::lepton_ai.data.ResumeWarning")
def test_ready_batches_validate_too() -> None:
    loader = DataLoader(TensorDataset(torch.from_numpy(X), torch.from_numpy(Y)), batch_size=7)
    history = fitted(X, Y, validation_data=loader).history
    assert history["val_loss"] == pytest.approx(fitted(X, Y, validation_data=(X, Y)).history["val_loss"], rel=1e-6)


def test_validation_split_is_the_end_of_the_data() -> None:
    split = fitted(X, Y, validation_split=0.2, shuffle=True)
    given = fitted(X[:40], Y[:40], validation_data=(X[40:], Y[40:]), shuffle=True)
    assert same_state(split, given)
    assert split.history.history == given.history.history
    assert same_state(split, fitted(Rows(), validation_split=0.2, shuffle=True))


@pytest.mark.parametrize("fraction", [1.0, -0.5, 0.999, 2])
def test_a_split_that_leaves_nothing_is_refused(fraction: float) -> None:
    with pytest.raises(ConfigError, match=r"validation_split=...\): got .*, expected a part that leaves rows"):
        fitted(X, Y, validation_split=fraction)


def test_validation_with_weights_and_its_own_batch_size() -> None:
    weights = np.linspace(0, 2, len(X))
    model = fitted(X, Y, validation_data=(X, Y, weights), validation_batch_size=3)
    assert model.evaluate(X, Y, sample_weight=weights)[0] == pytest.approx(model.history["val_loss"][-1], rel=1e-6)


def test_validation_metrics_are_those_of_evaluate() -> None:
    x, y = images()
    model = compiled(cnn(norm=True))
    history = model.fit(x, y, epochs=3, verbose=0, validation_data=(x[:9], y[:9]))
    measured = model.evaluate(x[:9], y[:9], return_dict=True)
    assert measured == {"loss": history["val_loss"][-1], "accuracy": history["val_accuracy"][-1]}


def test_initial_epoch_counts_on() -> None:
    model = fitted(X, Y, epochs=5, initial_epoch=3)
    assert model.history.epoch == [3, 4]


def test_several_fits_go_on_from_the_weights() -> None:
    model = compiled(mlp())
    first = model.fit(X, Y, epochs=3, verbose=0)
    second = model.fit(X, Y, epochs=3, verbose=0)
    assert second["loss"][-1] < first["loss"][-1]
    assert model.history is second


def test_steps_per_epoch() -> None:
    watch = StepLosses()
    fitted(X, Y, steps_per_epoch=2, callbacks=[watch])
    assert len(watch.losses) == 4


# -- evaluate and predict -----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["mlp", "cnn"])
def test_measures_do_not_depend_on_the_batch_size(kind: str) -> None:
    x, y = (X, Y) if kind == "mlp" else images()
    model = compiled(mlp(dropout=0.5) if kind == "mlp" else cnn(norm=True, dropout=0.5, flip=True))
    model.fit(x, y, epochs=1, verbose=0)
    expected, outputs = model.evaluate(x, y), model.predict(x)
    for batch_size in (1, 7, 1000):
        assert model.evaluate(x, y, batch_size=batch_size) == pytest.approx(expected, rel=1e-6)
        np.testing.assert_allclose(model.predict(x, batch_size=batch_size), outputs, rtol=1e-5, atol=1e-7)
    with torch.no_grad():
        np.testing.assert_allclose(model(x).numpy(), outputs, rtol=1e-5, atol=1e-7)


def test_evaluate_answers_as_keras_does() -> None:
    model = compiled(mlp())
    loss, accuracy = model.evaluate(X, Y)
    assert model.evaluate(X, Y, return_dict=True) == {"loss": loss, "accuracy": accuracy}
    model.compile(loss="sparse_categorical_crossentropy")
    assert isinstance(model.evaluate(X, Y), float)


def test_measuring_changes_nothing() -> None:
    model = compiled(cnn(norm=True))
    x, y = images()
    model.fit(x, y, verbose=0)
    before = state(model)
    model.evaluate(x, y)
    model.predict(x)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert not model.training


def test_predict_needs_no_compile() -> None:
    assert mlp().predict(X).shape == (50, 3)
    assert Sequential([Dense(2)]).predict(X, batch_size=3).shape == (50, 2)


def test_measuring_inside_a_callback_does_not_disturb() -> None:
    from lepton_ai.training import LambdaCallback

    model = compiled(mlp())
    seen: list[Any] = []
    look = LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append(model.evaluate(X[:5], Y[:5])))
    model.fit(X, Y, batch_size=10, epochs=2, verbose=0, shuffle=False, callbacks=[look])
    assert same_state(model, EXPECTED)
    assert model.history is not None and model.history.history == EXPECTED.history.history
    assert len(seen) == 2


# -- weights ------------------------------------------------------------------------------------------------


def test_class_weights_are_sample_weights_by_class() -> None:
    weights = {0: 0.5, 1: 2.0, 2: 0.0}
    by_class = fitted(X, Y, class_weight=weights)
    by_row = fitted(X, Y, sample_weight=[weights[label] for label in Y.tolist()])
    assert same_state(by_class, by_row)
    assert not same_state(by_class, EXPECTED)
    one_hot = compiled(mlp())
    one_hot.compile("adam", "categorical_crossentropy")
    one_hot.fit(X, np.eye(3)[Y], batch_size=10, epochs=2, verbose=0, shuffle=False, class_weight=weights)
    for name, value in by_class.state_dict().items():
        torch.testing.assert_close(one_hot.state_dict()[name], value, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("weights", [{}, {0: 1.0}, {0: 1.0, 2: 1.0}, {0: 1.0, 1: 1.0, 2: -1.0}, {-1: 1.0}])
def test_class_weights_are_for_every_class(weights: dict[int, float]) -> None:
    with pytest.raises(DataError, match=r"class_weight=...\): got .*for each of the classes \[0, 1, 2\]"):
        fitted(X, Y, class_weight=weights)


def test_class_weights_of_a_yes_no_answer() -> None:
    model = Sequential([Dense(1, activation="sigmoid", input_shape=(4,))])
    model.compile("sgd", "binary_crossentropy")
    model.fit(X, (Y > 0).astype(int), verbose=0, class_weight={0: 1.0, 1: 3.0})
    model.compile("sgd", lambda target, output: (output[:, 0] - target) ** 2)
    with pytest.raises(DataError, match="class_weight is for the classes 0 to 1, the targets hold others"):
        model.fit(X, Y + 1, verbose=0, class_weight={0: 1.0, 1: 3.0})


def test_class_weights_and_several_outputs_do_not_go_together() -> None:
    x = Input((4,))
    model = Model(x, [Dense(3, name="a")(x), Dense(3, name="b")(x)])
    model.compile("sgd", "mse")
    with pytest.raises(UsageError, match="several outputs has no one set of classes. Give a sample_weight"):
        model.fit(X, [X[:, :3], X[:, :3]], class_weight={0: 1.0, 1: 1.0, 2: 1.0}, verbose=0)


@pytest.mark.parametrize(
    ("weights", "error", "message"),
    [
        ([1.0] * 49, DataError, "different lengths: x has 50 rows, sample_weight has 49"),
        ([-1.0] * 50, DataError, "a negative weight, -1 in row 0"),
        ([float("nan")] * 50, DataError, "sample_weight: 50 NaN"),
        (np.ones((50, 2)), ShapeError, "one number for each row"),
    ],
)
def test_sample_weights_are_checked(weights: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        fitted(X, Y, sample_weight=weights)


# -- freezing -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("early", [True, False])
def test_frozen_layers_stay(early: bool) -> None:
    model = Sequential([Dense(8, input_shape=(4,), name="first", trainable=not early), BatchNormalization(), Dense(3)])
    model.get_layer("batch_normalization").trainable = not early
    model.compile("adam", "mse")
    model.predict(X)
    if not early:
        model.get_layer("first").trainable = False
        model.get_layer("batch_normalization").trainable = False
    before = state(model)
    model.fit(X, X[:, :3], epochs=2, verbose=0)
    changed = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == {"dense.weight", "dense.bias"}
    model.trainable = True
    model.fit(X, X[:, :3], epochs=2, verbose=0)
    changed = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == set(before)


def test_frozen_normalisation_computes_as_at_inference() -> None:
    model = Sequential([BatchNormalization(input_shape=(4,))])
    model.predict(X)
    model.trainable = False
    model.train()
    assert torch.equal(model(torch.from_numpy(X)), model(torch.from_numpy(X), training=False))
    model.trainable = True
    assert not torch.equal(model(torch.from_numpy(X)), model(torch.from_numpy(X), training=False))


def test_a_frozen_model_inside_another() -> None:
    base = Sequential([Dense(5, activation="relu", input_shape=(4,)), BatchNormalization()], name="base")
    base.trainable = False
    x = Input((4,))
    model = Model(x, Dense(3, activation="softmax", name="head")(base(x)))
    before = state(model)
    compiled(model).fit(X, Y, verbose=0)
    changed = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == {"head.weight", "head.bias"}


# -- the rest -----------------------------------------------------------------------------------------------


def test_verbose_evaluate_prints(capsys: pytest.CaptureFixture[str]) -> None:
    model = compiled(mlp())
    loss, accuracy = model.evaluate(X, Y, verbose=1)
    assert capsys.readouterr().out == f"loss {loss:.4g}  accuracy {accuracy:.4g}\n"


def test_objects_and_functions_as_loss_and_metric() -> None:
    def absolute(target: torch.Tensor, output: torch.Tensor) -> torch.Tensor:
        return (target - output).abs()

    model = Sequential([Dense(1, input_shape=(4,))])
    model.compile(Adam(0.01), loss=absolute, metrics=[absolute, MeanSquaredError()])
    history = model.fit(X, X[:, :1], verbose=0)
    assert list(history.history) == ["loss", "absolute", "mean_squared_error"]
    assert model.evaluate(X, X[:, :1])[0] == pytest.approx(float(np.abs(model.predict(X) - X[:, :1]).mean()), rel=1e-5)


def test_accuracy_beside_another_loss_follows_the_shapes() -> None:
    model = mlp()
    model.compile("adam", "mse", metrics=["accuracy"])
    history = model.fit(X, np.eye(3)[Y], epochs=2, verbose=0)
    assert history["accuracy"][-1] == pytest.approx((model.predict(X).argmax(1) == Y).mean(), abs=0.3)
    assert model.evaluate(X, np.eye(3)[Y])[1] == pytest.approx((model.predict(X).argmax(1) == Y).mean())


def test_bfloat16_plan_trains() -> None:
    model = mlp()
    plan = ExecutionPlan(precision="bfloat16", threads=1)
    model.compile(SGD(0.1), "sparse_categorical_crossentropy", plan=plan)
    history = model.fit(X, Y, epochs=5, verbose=0)
    assert history["loss"][-1] < history["loss"][0]
    assert all(value.dtype == torch.float32 for value in model.state_dict().values())


def test_no_warnings_by_default() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fitted(X, Y)


# -- what is refused, and what is taken -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "pattern"),
    [
        ({"seed": -1}, r"fit\(seed=...\): got -1, expected an int from 0"),
        ({"seed": 1.5}, r"fit\(seed"),
        ({"callbacks": [EarlyStopping]}, r"callbacks=...\).*EarlyStopping.*Write EarlyStopping\(\)"),
        ({"callbacks": ["early"]}, r"callbacks=...\).*early"),
        ({"validation_data": (X, Y, Y, Y)}, r"validation_data=...\).*4 parts"),
        ({"validation_data": (X,)}, r"validation_data=...\).*1 parts"),
        ({"validation_split": "0.2"}, "validation_split.*0.2"),
        ({"validation_split": True}, "validation_split"),
        ({"class_weight": [1, 2, 3]}, "class_weight.*a dict"),
        ({"class_weight": {0: "1", 1: 1, 2: 1}}, "class_weight.*a dict"),
        ({"initial_epoch": 2}, r"initial_epoch=...\): got 2, expected below epochs=2"),
    ],
)
def test_arguments_that_cannot_be_are_refused(options: dict[str, Any], pattern: str) -> None:
    with pytest.raises(ConfigError, match=pattern):
        fitted(X, Y, **options)


def test_numpys_integers_and_a_lone_callback_are_taken() -> None:
    sizes = {"batch_size": np.int64(10), "epochs": np.int32(2), "seed": np.int64(0)}
    assert same_state(fitted(X, Y, **sizes, callbacks=EarlyStopping(monitor="loss")), EXPECTED)
    assert EXPECTED.predict(X, batch_size=np.int64(7)).shape == (50, 3)


def test_half_precision_inputs_are_widened_once() -> None:
    x = X.astype("float16")
    assert same_state(fitted(x, Y), fitted(x.astype("float32"), Y))
    assert EXPECTED.predict(x).dtype == np.float32


def test_only_the_input_that_accepts_missing_values_may_have_them() -> None:
    a, b = Input((2,), name="a"), Input((2,), name="b")
    known = Reshape((2,))(a)
    filled = Normalization(mean=(0.0, 0.0), variance=(1.0, 1.0), missing="mean")(known)
    model = Model([a, b], Dense(1)(Concatenate()([filled, b])))
    model.compile("sgd", "mse")
    whole, gap = X[:, :2], X[:, 2:].copy()
    gap[3, 1] = np.nan
    assert np.isfinite(model.predict([gap, whole])).all()
    assert np.isfinite(model.predict({"a": gap, "b": whole})).all()
    with pytest.raises(DataError, match=r"x\[1\]: 1 NaN in 1 of 50 rows"):
        model.predict([whole, gap])
    with pytest.raises(DataError, match=r"x\['b'\]: 1 NaN"):
        model.fit({"a": gap, "b": gap}, Y, verbose=0)
