"""LPNN: linear models in closed form and dense networks, for tables."""

from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from lepton_ai.core import unknown_name
from lepton_ai.data import to_tensor
from lepton_ai.layers import (
    Concatenate,
    Dense,
    Dropout,
    Imputation,
    Input,
    Normalization,
    StringLookup,
    TextVectorization,
)
from lepton_ai.models import LinearRegression, LogisticRegression, Model, count_parameters
from lepton_ai.tasks.answers import answer, early_stop, loss_of, size_of
from lepton_ai.tasks.specification import Classes, Columns, Output, Vector
from lepton_ai.tasks.specified import Pair, Specified
from lepton_ai.training import Adam, History

_WIDTHS = (512, 384, 256, 192, 128, 96, 64, 48, 32, 24, 16, 8, 4)
_WORDS = 1000  # of a text column, at most
_CATEGORIES = 500  # of a column, at most; rarer ones share one place
_NEWTON = 1200  # unknowns; their matrix takes seconds to solve, and several have to be


class LPNN(Specified):
    """A shallow network: a linear model in closed form, a dense network of two hidden layers, or the better of both.

    Numbers are standardised, gaps are filled with the mean and marked, categories and words are counted: all of that
    is part of the model, so it takes rows as they are.

    Args:
        inputs: `Vector(size=...)` or `Columns(...)`; `Columns.of(frame)` finds out.
        outputs: `Classes(labels=...)` or `Numbers(count=...)`.
        parameters: the most numbers that the model may learn.
        kind: "linear" (least squares of minimum norm, or logistic regression by Newton's method), "dense" (as wide as
            `parameters` allows), or "auto": both, and the better on the rows held out stays. `chosen` says which.

    Example:
        >>> from lepton_ai.tasks import Numbers
        >>> x = np.linspace(-1, 1, 40, dtype=np.float32)[:, None]
        >>> model = LPNN(Vector(size=1), Numbers(), kind="linear").fit(x, 3 * x + 1)
        >>> model.predict(np.array([[2.0]])).round(3)
        array([[7.]], dtype=float32)
    """

    accepted = (Vector, Columns)
    inputs: Vector | Columns

    def __init__(
        self,
        inputs: Vector | Columns,
        outputs: Output,
        *,
        parameters: int = 100_000,
        kind: Literal["auto", "linear", "dense"] = "auto",
        seed: int = 0,
    ) -> None:
        super().__init__(inputs, outputs, parameters=parameters, seed=seed)
        if kind not in ("auto", "linear", "dense"):
            raise unknown_name("kind", kind, ["auto", "dense", "linear"], at="LPNN")
        self.kind = kind
        self.chosen: str | None = None
        self.candidates: dict[str, float] = {}
        """The loss of each kind that was trained, on the rows held out."""

    def learn(self, train: Pair, held_out: Pair, **options: Any) -> tuple[Model, History | None]:
        inputs, features = _encoded(self.inputs, train[0])
        found: dict[str, tuple[Model, History | None]] = {}
        for kind, model in self._networks(inputs, features, train[1]).items():
            loss, metrics = loss_of(self.outputs)
            model.compile(Adam(1e-3), loss, metrics=metrics)
            if kind == "linear":
                self._solve(model, Model(inputs, features).predict(train[0], batch_size=4096), train[1])
                model.keep_data(model.source(*train))
                found[kind] = model, None
            else:
                stop = early_stop(8)
                history = model.fit(*train, validation_data=held_out, callbacks=[stop], seed=self.seed, **options)
                found[kind] = model, history
        self.candidates = {
            kind: model.evaluate(*held_out, verbose=0, return_dict=True)["loss"] for kind, (model, _) in found.items()
        }
        self.chosen = min(found, key=self.candidates.__getitem__)
        return found[self.chosen]

    def _networks(self, inputs: Any, features: Any, targets: npt.NDArray[Any]) -> dict[str, Model]:
        """What is to be trained: of each kind that is asked for the largest network that may be."""
        found, small = {}, []
        if self.kind != "dense":
            linear = self._linear(inputs, features)
            if self._fits(linear):
                found["linear"] = linear
            small.append(linear)
        if self.kind != "linear":
            for width in _WIDTHS:
                dense = self._dense(inputs, features, width, targets)
                if self._fits(dense):
                    found["dense"] = dense
                    break
            small.append(dense)
        if not found:
            raise self._too_small(min(small, key=lambda model: count_parameters(model)[0]))
        unknowns = (features.shape[-1] + 1) * (size_of(self.outputs) - 1)
        if len(found) > 1 and isinstance(self.outputs, Classes) and unknowns > _NEWTON:
            del found["linear"]
        return found

    def _linear(self, inputs: Any, features: Any) -> Model:
        activation = "softmax" if isinstance(self.outputs, Classes) else None
        return Model(inputs, Dense(size_of(self.outputs), activation, name="answer")(features), name="lpnn")

    def _dense(self, inputs: Any, features: Any, width: int, targets: npt.NDArray[Any]) -> Model:
        x = Dense(width, activation="relu", kernel_initializer="he_normal")(features)
        x = Dropout(0.2)(x) if width >= 32 else x
        x = Dense(max(width // 2, 2), activation="relu", kernel_initializer="he_normal")(x)
        return Model(inputs, answer(self.outputs, x, targets), name="lpnn")

    def _solve(self, model: Model, x: npt.NDArray[Any], targets: npt.NDArray[Any]) -> None:
        """Give the last layer of a linear model its weights."""
        if isinstance(self.outputs, Classes):
            solved: Any = LogisticRegression().fit(x, targets)
            kernel = np.zeros((x.shape[1], len(self.outputs.labels)))
            bias = np.full(len(self.outputs.labels), solved.intercept.min() - 20.0)  # a class without rows: e^-20
            kernel[:, solved.classes], bias[solved.classes] = solved.coef, solved.intercept
        else:
            solved = LinearRegression().fit(x, targets)
            kernel, bias = solved.coef, solved.intercept
        model.get_layer("answer").set_weights([kernel.astype(np.float32), bias.astype(np.float32)])


def _encoded(inputs: Vector | Columns, rows: Any) -> tuple[Any, Any]:
    """Symbolic inputs and features, with what has to be adapted adapted to `rows`."""
    if isinstance(inputs, Vector):
        x = Input((inputs.size,), name="x")
        return x, _standardized(x, rows)
    symbols: dict[str, Any] = {name: Input((1,), name=name) for name in inputs.numbers}
    parts = []
    if inputs.numbers:
        joined = Concatenate()(list(symbols.values())) if len(symbols) > 1 else symbols[inputs.numbers[0]]
        parts.append(_standardized(joined, np.concatenate([rows[name] for name in inputs.numbers], axis=1)))
    for name in inputs.categories:
        symbols[name] = Input((1,), dtype="string", name=name)
        lookup = StringLookup(_CATEGORIES, output_mode="one_hot", missing="missing")
        lookup.adapt(rows[name])
        parts.append(lookup(symbols[name]))
    for name in inputs.texts:
        symbols[name] = Input((1,), dtype="string", name=name)
        words = TextVectorization(_WORDS, split="mixed", output_mode="tf_idf", missing="")
        words.adapt(rows[name])
        parts.append(words(symbols[name]))
    return symbols, Concatenate()(parts) if len(parts) > 1 else parts[0]


def _standardized(x: Any, rows: npt.NDArray[Any]) -> Any:
    """`x` with mean 0 and variance 1 over `rows`; where they have gaps, filled with the mean and marked."""
    gaps = np.isnan(rows)
    if not gaps.any():
        scale = Normalization(missing="mean")  # a gap may still come later
        scale.adapt(rows)
        return scale(x)
    fill = Imputation("mean", fill_value=0.0, add_indicator=True)
    fill.adapt(rows)
    scale = Normalization()
    scale.adapt(fill(to_tensor(rows, "x")))
    return scale(fill(x))
